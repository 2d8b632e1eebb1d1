"""Read many mutated films of every family and print what became of them.

    python benchmarks/fuzz.py --inputs 20000 [--family jpeg_ls] [--start 0] [--workers 2]

Input k of a family is the same bytes on every machine. Columns: refused with a reason; shown as the reference shows
them; shown where the reference gives up (alone); crashes and hangs of the process; other exceptions, slow reads
(over 2 s), memory growth over 1 GiB and broken promises about pixels (broken); text of the header in an error or a fact
(leaks); shown otherwise than the reference (silent wrong). The last are zero or the exit status is 1.
"""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.fuzz.runner import Judge, Score
from tests.fuzz.seeds import FAMILIES

BROKEN = ("exception", "slow", "memory", "pixels")
COLUMNS = ("family", "inputs", "refused", "agreed", "alone", "crash", "hang", "broken", "leak", "wrong", "max s", "MiB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000, help="of each family")
    parser.add_argument("--start", type=int, default=0, help="number of the first")
    parser.add_argument("--family", action="append", choices=FAMILIES, help="one of them; may be repeated")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    families = options.family or FAMILIES
    began = time.monotonic()
    print(_line(COLUMNS), flush=True)
    scores: dict[str, Score] = {}
    with ThreadPoolExecutor(options.workers) as pool:
        work = {family: pool.submit(_family, family, options.start, options.inputs) for family in families}
        for family, future in work.items():
            scores[family] = future.result()
            print(_line(_row(family, scores[family])), flush=True)
    total = Score(sum((score.tally for score in scores.values()), Counter()))
    total.seconds = max(score.seconds for score in scores.values())
    total.peak_mib = max(score.peak_mib for score in scores.values())
    print(_line(_row("all", total)))
    print(f"{time.monotonic() - began:.0f} s with {options.workers} workers")
    failures = [(family, k, what) for family, score in scores.items() for k, what in score.failures]
    for family, k, what in failures[:100]:
        print(f"  {family} {k}: {what}")
    return 1 if failures else 0


def _family(family: str, start: int, count: int) -> Score:
    with Judge() as judge:
        return judge.score(family, start, count)


def _row(family: str, score: Score) -> tuple[str, ...]:
    tally = score.tally
    counts = (
        tally.total() - tally["memory"],
        *(tally[name] for name in ("refused", "agreed", "alone", "crash", "hang")),
    )
    broken = sum(tally[name] for name in BROKEN)
    return (
        family,
        *map(str, (*counts, broken, tally["leak"], tally["wrong"])),
        f"{score.seconds:.2f}",
        str(score.peak_mib),
    )


def _line(cells: tuple[str, ...]) -> str:
    return cells[0].ljust(14) + "".join(cell.rjust(9) for cell in cells[1:])


if __name__ == "__main__":
    sys.exit(main())
