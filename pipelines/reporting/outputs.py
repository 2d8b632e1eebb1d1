"""Files that a report is written to, judged before the work begins: what cannot end well is said at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipelines.errors import ConfigError, ReportError
from pipelines.reporting.manuscript import SCHEMA
from pipelines.reporting.pdf import find_browser

FORMS: Final = (".html", ".pdf", ".md", ".json")
"""Forms of a report by the ending of its file."""
_HEAD: Final = 400
"""Bytes within which a file of tables names its schema."""


def check_outputs(outs: Sequence[Path]) -> None:
    """Whether reports can be written to these files, as far as that can be known beforehand.

    Raises:
        ConfigError: a form that is not known.
        ReportError: a folder where a file is to be, a file where its folder is to be, a JSON file that is no report
            (an evaluation, a run record), or a PDF where there is no browser to print it.
    """
    for out in outs:
        form = out.suffix.lower()
        if form not in FORMS:
            found = repr(form) if form else "no ending"
            raise ConfigError(f"{out}: a report is written as {', '.join(FORMS)}; found {found}.")
        if out.is_dir():
            raise ReportError(f"{out}: found a folder, expected the name of a file to write.")
        above = next(folder for folder in out.absolute().parents if folder.exists())
        if not above.is_dir():
            raise ReportError(f"{out}: {above.name} is a file, expected a folder.")
        if form == ".json" and not _ours_or_new(out):
            raise ReportError(f"{out}: found a file that is not a report, which would be lost; choose another name.")
    if any(out.suffix.lower() == ".pdf" for out in outs):
        find_browser()


def _ours_or_new(out: Path) -> bool:
    if not out.is_file() or not out.stat().st_size:
        return True
    with out.open("rb") as stream:
        return SCHEMA.rpartition("/")[0].encode() in stream.read(_HEAD)
