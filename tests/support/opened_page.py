"""A report's page in a browser without a network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REQUIRED = "ABLATION_REQUIRE_CHROMIUM" in os.environ
ARGUMENTS = ["--no-sandbox", "--disable-gpu"]
DRAWN = "html[data-drawn]"
WAIT_MS = 120_000  # a page holds its figures' library: a loaded machine takes long over it


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a browser; skips the test where there is none, unless it is required."""
    sync_api: Any = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    if CHROMIUM is None and not REQUIRED:
        pytest.skip("there is no Chromium on this machine; install Debian's package chromium")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


def open_page(browser: Any, report: Path, **context: Any) -> tuple[Any, list[str], list[str]]:
    """Open the report without a network; return the page, what it asked for, and what it complained of."""
    asked: list[str] = []
    complaints: list[str] = []
    page = browser.new_context(offline=True, **context).new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on(
        "console", lambda reported: complaints.append(reported.text) if reported.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(report.as_uri(), timeout=WAIT_MS)
    page.wait_for_selector(DRAWN, state="attached", timeout=WAIT_MS)
    return page, asked, complaints
