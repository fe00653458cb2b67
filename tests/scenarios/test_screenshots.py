"""The pictures of the README: all there, all made by `make screenshots`, none too heavy for a repository."""

import re
import struct

import pytest

from tests.support import screenshots
from tests.support.commands import ROOT
from tests.support.pages import LABELS
from tests.support.screenshots import HEIGHT, PICTURES, WIDTH

MOST_BYTES = 1_000_000


def size_of(png):
    """Width and height as the header of the file says."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", png[16:24])


def test_every_picture_of_the_readme_is_made_by_the_target_and_has_words():
    shown = re.findall(r"!\[([^]]*)\]\((docs/[^)]+)\)", (ROOT / "README.md").read_text())

    assert [file for _, file in shown] == [f"docs/{name}" for name in PICTURES.values()]
    assert all(len(words) > 30 for words, _ in shown)
    assert set(PICTURES) < set(LABELS)
    assert f"-m {screenshots.__name__}\n" in (ROOT / "Makefile").read_text()


def test_every_picture_is_there_and_they_are_light_together():
    files = sorted((ROOT / "docs").rglob("*.png"))

    assert {file.name for file in files} == set(PICTURES.values())
    assert {size_of(file.read_bytes()) for file in files} == {(WIDTH, HEIGHT)}
    assert sum(file.stat().st_size for file in files) < MOST_BYTES


@pytest.mark.slow
def test_pictures_are_taken_of_the_newest_page_of_each_report(browser, tmp_path):
    for pipeline, colour in (("20260101-000000-aaa", "#ffffff"), ("20260102-000000-bbb", "#0b6b94")):
        folder = tmp_path / "runs" / pipeline
        folder.mkdir(parents=True)
        for label in PICTURES:
            (folder / f"{label}.html").write_text(f"<body style='background: {colour}'>{label}</body>")
    (tmp_path / "docs").mkdir()

    files = screenshots.take(browser, tmp_path, tmp_path / "docs")

    from PIL import Image

    assert [file.name for file in files] == list(PICTURES.values())
    for file in files:
        picture = Image.open(file).convert("RGB")
        assert picture.size == (WIDTH, HEIGHT)
        assert picture.getpixel((WIDTH - 1, HEIGHT - 1)) == (0x0B, 0x6B, 0x94)
    with pytest.raises(SystemExit, match="has no page of backtest-sharp"):
        screenshots.take(browser, tmp_path / "docs", tmp_path)
