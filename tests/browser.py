"""A real headless browser for tests: pages as their readers see them, guarded against asking anything of a network."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

AXE = Path(os.environ.get("CXR_AXE", Path(__file__).parents[1] / "build" / "axe" / "axe.min.js"))
"""axe-core, as ``.ci/run`` fetches it from npm."""
needs_axe = pytest.mark.skipif(
    not AXE.is_file(), reason="needs axe-core: .ci/run fetches it, or CXR_AXE names axe.min.js"
)


@contextmanager
def browser_page(html: Path, **context: Any) -> Iterator[Any]:
    """Open a file in headless Chromium.

    Args:
        html: the file.
        context: of `playwright.sync_api.Browser.new_context`, for example ``viewport``, ``java_script_enabled``.

    Yields:
        The page (`playwright.sync_api.Page`) with ``page.complaints``: errors of its scripts, addresses it asked for.
    """
    from playwright.sync_api import sync_playwright

    complaints: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            page = browser.new_context(**context).new_page()
            page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
            page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
            page.on(
                "request",
                lambda asked: (
                    None if asked.url.startswith(("file:", "data:", "blob:")) else complaints.append(asked.url)
                ),
            )
            page.goto(html.resolve().as_uri())
            page.complaints = complaints  # type: ignore[attr-defined]
            yield page
        finally:
            browser.close()
