"""The command line as its users meet it, in this process."""

import sys
from collections.abc import Callable

import pytest

from pipelines.cli import console, main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cxr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command in this process; returns exit code, standard output and standard error."""
    monkeypatch.setenv("COLUMNS", "200")
    # A console that was made under another width keeps it.
    monkeypatch.setattr(console._out, "_width", 200)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cxr", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run
