"""The lock pins everything, and its audit says what is known, or that nothing is; a real index and advisory
service on loopback.
"""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from overround.sources.local_server import answering
from tests.support.audit import LOCK, audit, pins

# as the OSV database answers, https://google.github.io/osv.dev/post-v1-querybatch/ and /get-v1-vulns/
HOLE = {
    "id": "PYSEC-0000-1",
    "modified": "2026-01-01T00:00:00Z",
    "summary": "reads files that are not its own",
    "affected": [
        {
            "package": {"name": "leaky", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}


class Index(BaseHTTPRequestHandler):
    """Three packages of one version each, of which `gone` was yanked, and the advisories of `leaky`."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.startswith("/v1/vulns/"):
            self.answer(json.dumps(HOLE).encode(), "application/json")
        elif self.path.endswith(".metadata"):
            name = self.path.split("/")[-1].split("-")[0]
            self.answer(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(), "text/plain")
        else:
            name = self.path.strip("/").split("/")[-1]
            file = {
                "filename": f"{name}-1.0-py3-none-any.whl",
                "url": f"/files/{name}-1.0-py3-none-any.whl",
                "hashes": {},
                "core-metadata": True,
            }
            file["yanked"] = "broken on arrival" if name == "gone" else False
            listed = {"meta": {"api-version": "1.0"}, "name": name, "files": [file]}
            self.answer(json.dumps(listed).encode(), "application/vnd.pypi.simple.v1+json")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        some = {"vulns": [{name: HOLE[name] for name in ("id", "modified")}]}
        found = [some if one["package"]["name"] == "leaky" else {} for one in asked]
        self.answer(json.dumps({"results": found}).encode(), "application/json")

    def answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def index(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with answering(Index) as url:
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"{url}/simple")
        yield url


def test_every_line_of_the_lock_pins_one_exact_version():
    lines = pins(LOCK.read_text())

    assert len(lines) > 150
    assert len(lines) == len(set(lines))
    for loose in (
        "pandas>=3.0",
        "pandas==3.*",
        "pandas",
        "pandas @ https://example.org/pandas.whl",
        "pandas==3.0,<4",
    ):
        with pytest.raises(SystemExit, match="no exact version"):
            pins(f"numpy==2.4.6\n{loose}\n")


@pytest.mark.slow
def test_a_known_hole_and_a_version_that_was_taken_back_are_named_also_of_other_platforms(index):
    found = audit(["leaky==1.0", "gone==1.0", "sound==1.0 ; sys_platform == 'win32'"], service=index)

    assert found.holes == ("leaky 1.0: PYSEC-0000-1 reads files that are not its own; mended in 1.1",)
    assert found.yanked == ('`gone==1.0` is yanked (reason: "broken on arrival")',)
    assert (found.status, found.unknown) == (1, "")
    windows = audit(["leaky==1.0 ; sys_platform == 'win32'"], service=index)
    assert windows.status == 1
    assert audit(["sound==1.0"], service=index).status == 0


@pytest.mark.slow
def test_where_nobody_can_be_asked_that_is_said_and_is_no_clean_bill(index, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    closed = "http://127.0.0.1:9"

    advisories = audit(["gone==1.0", "sound==1.0"], service=closed)
    assert "the advisory database could not be asked (" in advisories.unknown
    assert len(advisories.yanked) == 1
    assert audit(["sound==1.0"], service=closed).status == 2

    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{closed}/simple")
    nothing = audit(["leaky==1.0"], service=closed)
    assert (nothing.status, "the package index could not be asked (" in nothing.unknown) == (2, True)
