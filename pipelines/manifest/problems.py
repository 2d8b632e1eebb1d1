"""What can be wrong with a manifest, said all at once with counts and first examples."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.errors import ManifestError

EXAMPLES_SHOWN = 3


@dataclass(frozen=True)
class Problem:
    """One kind of defect, however many rows have it."""

    code: str
    """Stable name of the kind, for programs: ``missing_file``, ``duplicate_id``, …"""
    message: str
    """What was found and what was expected, without the count."""
    count: int
    """How many rows, columns, patients or pictures (the message says which)."""
    examples: tuple[str, ...]
    """The first few offenders: image ids or row numbers; never a patient id."""
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        shown = f" (e.g. {', '.join(self.examples)})" if self.examples else ""
        return f"{self.code}: {self.count:,} {self.message}{shown}"


def found(
    code: str, message: str, offenders: Iterable[object], severity: Literal["error", "warning"] = "error"
) -> list[Problem]:
    """The problem that these offenders make, or nothing where there are none."""
    names = [str(offender) for offender in offenders]
    if not names:
        return []
    return [Problem(code, message, len(names), tuple(names[:EXAMPLES_SHOWN]), severity)]


def refuse(problems: Sequence[Problem], source: str) -> None:
    """Raise one error that tells every problem; warnings alone raise nothing.

    Args:
        problems: as found.
        source: the file or the table they were found in, for the message.

    Raises:
        ManifestError: where at least one problem is an error; its message lists all of those.
    """
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        listed = "; ".join(str(problem) for problem in errors)
        kinds = "1 problem" if len(errors) == 1 else f"{len(errors)} kinds of problem"
        raise ManifestError(f"{source}: {kinds}: {listed}")
