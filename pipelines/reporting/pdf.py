"""A page printed to PDF by the Chromium, Chrome or Edge that is on the machine.

The page is printed as its reader would print it: text stays text, links and headings stay links and bookmarks, and
vector figures stay vectors. Nothing is fetched: the browser gets a profile of its own and no way to a network.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from pipelines.errors import ReportError
from pipelines.reporting.texts import plain

BROWSER_VARIABLE: Final = "CXR_BROWSER"
"""Environment variable that names the browser, for machines where it has an unusual name or place."""
SECONDS: Final = 180.0
"""More than a page of 10 MB takes on a slow laptop; a browser that needs longer hangs."""
_LAST: Final = 100_000
"""Bytes of a browser's complaints that are read, from the end."""
_COMMANDS: Final = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "microsoft-edge-stable",
    "msedge",
)
_MAC_PLACES: Final = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
_WINDOWS_FOLDERS: Final = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")
_WINDOWS_PLACES: Final = (
    "Google/Chrome/Application/chrome.exe",
    "Chromium/Application/chrome.exe",
    "Microsoft/Edge/Application/msedge.exe",
)
_FLAGS: Final = (
    "--headless=new",
    "--disable-gpu",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # containers have 64 MB there; a page with films needs more
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--proxy-server=http://127.0.0.1:9",
    "--proxy-bypass-list=<-loopback>",
    "--no-pdf-header-footer",
    "--generate-pdf-document-outline",
    "--export-tagged-pdf",
)


def print_pdf(html: Path, out: Path, *, browser: Path | None = None, seconds: float = SECONDS) -> None:
    """Print a page to PDF; the file appears whole or not at all.

    Args:
        html: a self-contained page, for example of `pipelines.reporting.page.write_report`.
        out: the PDF; its folder is made where it does not exist.
        browser: the browser's program; None: as `find_browser` finds it.
        seconds: how long it may take.

    Raises:
        ReportError: no page, no browser, or a browser that fails, hangs or writes no whole PDF.
    """
    if not html.is_file():
        raise ReportError(f"{html}: no such page; expected an HTML file to print.")
    if out.is_dir():
        raise ReportError(f"{out}: found a folder, expected the name of the PDF to write.")
    program = find_browser(browser)
    out.parent.mkdir(parents=True, exist_ok=True)
    # A browser from a snap sees neither the system's temporary folder nor hidden names: the work is done beside `out`.
    with (
        tempfile.TemporaryDirectory(prefix=f"{out.stem}-printing-", dir=out.parent) as work,
        tempfile.TemporaryDirectory(prefix="cxr-", ignore_cleanup_errors=True) as profile,
    ):
        page, printed = Path(work, "page.html"), Path(work, "page.pdf")
        shutil.copyfile(html, page)
        said = _run(_command(program, page, printed, Path(profile)), seconds, program)
        if not _whole(printed):
            raise ReportError(f"{program.name} printed no whole PDF of {html.name}{said}.")
        printed.replace(out)


def find_browser(named: Path | None = None) -> Path:
    """Return the browser that prints.

    Args:
        named: its program; None: the one that `BROWSER_VARIABLE` names, or else the first one found where Chromium,
            Chrome and Edge are usually installed.

    Raises:
        ReportError: there is none, or not where it was said to be.
    """
    said = str(named) if named is not None else os.environ.get(BROWSER_VARIABLE, "")
    if said:
        found = shutil.which(said)
        if found is None:
            source = "the browser named" if named is not None else BROWSER_VARIABLE
            raise ReportError(f"{source}: found {said!r}, expected a program of Chromium, Chrome or Edge.")
        return Path(found)
    for place in _places(sys.platform, os.environ):
        found = shutil.which(place)
        if found is not None:
            return Path(found)
    raise ReportError(
        f"A PDF is printed by a browser, and none was found: install Chromium, Chrome or Edge, or name one in the "
        f"variable {BROWSER_VARIABLE}."
    )


def _places(platform: str, environment: Mapping[str, str]) -> Iterator[str]:
    yield from _COMMANDS
    if platform == "darwin":
        yield from _MAC_PLACES
        yield from (f"{Path.home()}{place}" for place in _MAC_PLACES)
    if platform == "win32":
        for variable in _WINDOWS_FOLDERS:
            if folder := environment.get(variable):
                yield from (f"{folder}/{place}" for place in _WINDOWS_PLACES)


def _command(program: Path, html: Path, out: Path, profile: Path) -> list[str]:
    # Chromium refuses to run its sandbox as root; for everyone else the sandbox stays.
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    own = [f"--user-data-dir={profile}", f"--print-to-pdf={out.resolve()}", html.resolve().as_uri()]
    return [str(program), *_FLAGS, *root, *own]


def _run(command: list[str], seconds: float, program: Path) -> str:
    """Run the browser to its end; return what it complained of last, as the end of a sentence."""
    # A file and not a pipe: a helper that outlives a crashed browser would keep a pipe open.
    with tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                start_new_session=True,  # so that its helpers can be ended with it
            )
        except OSError as error:
            raise ReportError(f"{program.name} could not be started: {error.strerror}.") from error
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            said = f"{program.name} did not print the page within {seconds:g} seconds and was ended."
            raise ReportError(said) from error
        finally:
            _end(process)
        complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - _LAST))
        said = complaints.read().decode(errors="replace")
    status = "" if process.returncode == 0 else f" (it ended with status {process.returncode})"
    lines = [line for line in said.splitlines() if ":FATAL:" in line]
    return status + (f": {plain(lines[-1].partition('] ')[2], 200)}" if lines else "")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the browser and what it started, which may live on where the browser itself has ended."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of processes that have ended
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _whole(pdf: Path) -> bool:
    """Whether a file begins and ends as a PDF does."""
    if not pdf.is_file():
        return False
    content = pdf.read_bytes()
    return content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")
