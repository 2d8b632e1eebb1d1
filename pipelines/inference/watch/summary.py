"""How patient watching a folder is, how it stands and how it ended."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.inference.inputs.film_names import text_of
from pipelines.inference.outputs import CSV_FILE, RUN_FILE, TABLE_FILE


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    settle: float = 2.0
    """A file that did not change for so long is complete."""
    give_up: float = 60.0
    """One that can still not be read after so long unchanged gets a row that says so."""
    look: float = 1.0
    """Between two looks into the folders."""
    refresh: float = 60.0
    """At least between two Parquet tables."""


@dataclass(frozen=True, slots=True)
class WatchStatus:
    """How it stands."""

    rows: int
    waiting: int
    """Films seen that have no row yet."""
    quiet_for: float | None
    """Seconds since the last film was found complete; None where there was none."""


@dataclass(frozen=True, slots=True)
class WatchSummary:
    """How watching ended."""

    out: Path
    counts: dict[str, Any]
    computed: int
    """Rows written by this call."""
    waiting: int

    @property
    def failed(self) -> int:
        """Rows without a score."""
        return int(self.counts["rejected"] + self.counts["error"])

    def lines(self) -> list[str]:
        """What an operator wants to know when watching is over."""
        counts = self.counts
        text = [
            f"{counts['inputs']:,} films: {counts['ok']:,} scored, {counts['rejected']:,} rejected, "
            f"{counts['error']:,} unreadable; {self.computed:,} of them in this call"
        ]
        if counts["by_reason"]:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts["by_reason"].items())
            text.append(f"without a score: {reasons} (see the reason and detail columns)")
        if counts["duplicates"]:
            text.append(f"{counts['duplicates']:,} have the very picture of an earlier film (see duplicate_of)")
        if self.waiting:
            text.append(f"{self.waiting:,} films were seen and not read yet: they are read when watching goes on")
        text.append(f"wrote {text_of(self.out / TABLE_FILE)}, {CSV_FILE} and {RUN_FILE}")
        text.append("run the same command again to go on watching; rows are added to the same table")
        return text
