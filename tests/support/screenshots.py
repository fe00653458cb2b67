"""Pictures of the main reports for the README: `make screenshots`, or `python -m tests.support.screenshots
[REPORTS]`.

Without a folder of reports the whole line is run first on the simulated market, in a temporary home. The
pages have few colours and so have the pictures: one is some tens of kilobytes.
"""

import os
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
# report of the line -> picture of it: the first is shown large, the others in a row
PICTURES = {
    "backtest-sharp": "report.png",
    "signals": "report-signals.png",
    "bookmakers": "report-bookmakers.png",
    "compare": "report-compare.png",
    "performance": "report-performance.png",
}
WIDTH, HEIGHT = 1024, 1500
_COLOURS = 64


def take(browser: Any, reports: Path, folder: Path = DOCS) -> list[Path]:
    """Write the top of the newest page of each report as a PNG, in light colours, and return the files."""
    written = []
    for label, name in PICTURES.items():
        pages = sorted(reports.glob(f"runs/*/{label}.html"), key=lambda page: page.parent.name)
        if not pages:
            raise SystemExit(f"{reports} has no page of {label}; run the whole line first: overround run.")
        context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        try:
            page = context.new_page()
            page.goto(pages[-1].resolve().as_uri(), wait_until="load")
            (folder / name).write_bytes(_small(page.screenshot()))
        finally:
            context.close()
        written.append(folder / name)
    return written


def _small(png: bytes) -> bytes:
    from PIL import Image

    small = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(
        small, "PNG", optimize=True
    )
    return small.getvalue()


def _run_the_line(folder: Path) -> Path:
    own = {"STORE": folder / "store", "CACHE": folder / "cache", "REPORTS": folder / "reports"}
    env = {**os.environ, **{f"OVERROUND_{name}": str(path) for name, path in own.items()}}
    subprocess.run([sys.executable, "-m", "overround.cli.main", "run"], env=env, cwd=DOCS.parent, check=True)
    return folder / "reports"


def main() -> None:
    """Take the pictures and say how large they are."""
    from tests.support.chromium import launched

    with launched() as browser, tempfile.TemporaryDirectory() as folder:
        reports = Path(sys.argv[1]) if len(sys.argv) > 1 else _run_the_line(Path(folder))
        for file in take(browser, reports):
            print(f"{file.relative_to(DOCS.parent)}: {file.stat().st_size / 1_000:,.0f} kB")


if __name__ == "__main__":
    main()
