"""A provider that plays back answers in order, over real sockets, with the time of each in its header Date."""

import csv
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cache, partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.conftest import Served

Body = bytes | Callable[[], bytes]


@dataclass(frozen=True)
class Shown:
    """One answer: what a call for odds gets when it is its turn."""

    at: datetime
    body: Body
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None  # only so many bytes of the body are sent, then the connection ends

    def content(self) -> bytes:
        return self.body() if callable(self.body) else self.body


class Replay:
    """A running provider; `clock` and `sleep` let a poller live in the time of its answers, a poll an answer.

    The last answer is repeated for ever. `scores` gives the body for a call for scores at a time.
    """

    def __init__(self, answers: Sequence[Shown], scores: Callable[[datetime], bytes] = lambda at: b"[]"):
        self.answers, self.scores, self.turn = answers, scores, 0
        self._poll = 0
        self._served = Served(partial(_Handler, self))
        self.url, self.hits = self._served.url, self._served.hits

    def clock(self) -> float:
        return self.answers[min(self._poll, len(self.answers) - 1)].at.timestamp()

    def sleep(self, _: float) -> None:
        self._poll += 1

    def close(self) -> None:
        self._served.close()


@contextmanager
def replayed(answers: Sequence[Shown], **more: Callable) -> Iterator[Replay]:
    server = Replay(answers, **more)
    try:
        yield server
    finally:
        server.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def __init__(self, replay: Replay, *args: object):
        self.replay = replay
        super().__init__(*args)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        replay = self.replay
        replay.hits.append(self.path)
        shown = replay.answers[min(replay.turn, len(replay.answers) - 1)]
        if "/odds" in self.path:
            replay.turn += 1
            content, status, headers = shown.content(), shown.status, shown.headers
        else:
            content, status, headers = replay.scores(shown.at), 200, {}
        self.send_response_only(status)
        self.send_header("Date", format_datetime(shown.at.astimezone(UTC), usegmt=True))
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if "/odds" in self.path and shown.cut is not None:
            self.wfile.write(content[: shown.cut])
            self.close_connection = True
        else:
            self.wfile.write(content)


def recorded_answers(folder: Path) -> list[Shown]:
    """The recorded answers of a sport's folder in order of time, each read when its turn comes."""
    open_zip = cache(lambda name: zipfile.ZipFile(folder / name))
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Shown(datetime.strptime(row["fetched_at"], "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC), partial(_member, open_zip, row))
        for row in rows
    ]


def _member(open_zip: Callable, row: dict[str, str]) -> bytes:
    return open_zip(row["zip"]).read(row["member"])
