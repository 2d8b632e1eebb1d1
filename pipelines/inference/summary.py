"""How a run ended, in numbers and in the words of an operator."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.inference.inputs.film_names import text_of
from pipelines.inference.outputs import CSV_FILE, RUN_FILE, TABLE_FILE


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a run ended."""

    out: Path
    films: int
    ok: int
    rejected: int
    error: int
    by_reason: Mapping[str, int]
    computed: int
    """Films scored by this call; the others were finished by an earlier one."""
    seconds: float
    """Duration of this call."""
    skipped: Mapping[str, int]
    """Entries of the folders that were not taken as films, by kind."""
    duplicates: int = 0
    """Films with the very picture of an earlier one."""
    usage: str | None = None
    """Where the time went, and what would make it shorter."""
    already_complete: bool = False
    stopped_at: int | None = None
    """Films done when the run was asked to stop before its end; there are no tables then."""

    @property
    def failed(self) -> int:
        """Inputs without a score."""
        return self.rejected + self.error

    def lines(self) -> list[str]:
        """What an operator wants to know when the run is over."""
        if self.stopped_at is not None:
            return [
                f"stopped: {self.stopped_at:,} of {self.films:,} films are done and kept in {text_of(self.out)}",
                "run the same command again to go on",
            ]
        text = [f"{self.films:,} films: {self.ok:,} scored, {self.rejected:,} rejected, {self.error:,} unreadable"]
        if self.by_reason:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.by_reason.items())
            text.append(f"without a score: {reasons} (see the reason and detail columns)")
        if self.duplicates:
            text.append(f"{self.duplicates:,} have the very picture of an earlier film (see duplicate_of)")
        if self.skipped:
            entries = ", ".join(f"{count:,} {kind}" for kind, count in self.skipped.items())
            text.append(f"not taken as films: {entries}")
        if self.already_complete:
            text.append("this run was complete already: nothing was done")
        elif self.computed:
            kept = self.films - self.computed
            earlier = f", {kept:,} were finished before" if kept else ""
            rate = self.computed / self.seconds
            text.append(f"{self.computed:,} films in {self.seconds:.1f} s ({rate:.1f} per second){earlier}")
        if self.usage:
            text.append(self.usage)
        text.append(f"wrote {text_of(self.out / TABLE_FILE)}, {CSV_FILE} and {RUN_FILE}")
        return text
