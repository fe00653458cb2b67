"""The browser of this machine, without a window, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MISSING = "no Chromium is installed (Debian: apt-get install chromium)"


def found() -> str | None:
    """Where it is."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def launched() -> Iterator[Any]:
    """A browser that has started, and is closed at the end."""
    from playwright.sync_api import sync_playwright

    if not found():
        raise SystemExit(MISSING)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found(), args=QUIET)
        yield chromium
        chromium.close()
