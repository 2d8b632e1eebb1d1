"""``python -m pipelines`` is ``cxr``."""

from pipelines.cli import main

if __name__ == "__main__":
    main()
