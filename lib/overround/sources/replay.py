"""A provider that plays recorded answers back over real sockets: `python -m overround.sources.replay FOLDER`.

A call for current odds gets the next answer in order of time, with its time in the header Date; a call for
historical odds gets the answer that stood at the requested date, wrapped as The Odds API wraps it.
"""

import argparse
import csv
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cache, partial
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from overround.errors import ParameterError
from overround.http.dates import RECORDED
from overround.sources import local_server
from overround.sources.the_odds_api.snapshots import stood_at

Body = bytes | Callable[[], bytes]
INDEX, _COLUMNS = "index.csv", {"fetched_at", "zip", "member"}


@dataclass(frozen=True)
class Shown:
    """One recorded answer to a call for odds."""

    at: datetime
    body: Body
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None  # bytes of the body after which the connection breaks off

    def content(self) -> bytes:
        """The body, read on demand."""
        return self.body() if callable(self.body) else self.body


@dataclass
class Replay:
    """A provider's state; `clock` and `sleep` let a poller live in the time of its answers.

    Parameters
    ----------
    answers : sequence of Shown
        In order of time; the last is repeated for ever.
    scores : callable
        Maps a time to the body of a call for scores.
    latency_s : float
        Delay of every answer in seconds, like that of a distant provider.

    Attributes
    ----------
    url : str
        Its address while it runs.
    hits : list of str
        Requested paths.
    turn : int
        Number of the next answer.
    """

    answers: Sequence[Shown]
    scores: Callable[[datetime], bytes] = lambda at: b"[]"
    latency_s: float = 0.0
    url: str = ""
    hits: list[str] = field(default_factory=list)
    turn: int = 0
    _poll: int = 0

    def clock(self) -> float:
        """Seconds since 1970 of the poller's current answer."""
        return self.answers[min(self._poll, len(self.answers) - 1)].at.timestamp()

    def sleep(self, _: float) -> None:
        """Move on to the time of the next answer."""
        self._poll += 1


@contextmanager
def replayed(answers: Sequence[Shown], **more: Callable) -> Iterator[Replay]:
    """Run a `Replay` in this process while the block lasts."""
    replay = Replay(answers, **more)  # type: ignore[arg-type]
    with local_server.answering(partial(_Handler, replay)) as replay.url:
        yield replay


def serving(folder: Path, *, latency_s: float = 0.0, most: int = 0) -> AbstractContextManager[str]:
    """Play a folder of recorded answers from a process of its own; yields its address.

    Parameters
    ----------
    folder : Path
        See `recorded_answers`.
    latency_s : float
        Delay of every answer in seconds.
    most : int
        At most this many answers, evenly spaced; 0: all.

    Raises
    ------
    ParameterError
        The folder holds no recorded answers.
    SourceError
        The server did not start.
    """
    recorded_answers(folder, most=most)
    return local_server.started(
        "overround.sources.replay",
        [str(folder), "--latency", str(latency_s), "--most", str(most)],
        f"the feed {folder}",
    )


def recorded_answers(folder: Path, *, most: int = 0) -> list[Shown]:
    """Recorded answers of a folder in order of time; each body is read when it is needed.

    Parameters
    ----------
    folder : Path
        Holds ZIP files of answers, and `index.csv` with one row per answer: fetched_at
        (2026-06-06T04-52-30Z), zip and member.
    most : int
        At most this many, evenly spaced; 0: all.

    Raises
    ------
    ParameterError
        The folder holds no recorded answers.
    """
    try:
        with (folder / INDEX).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise ParameterError(
            f"{folder} is no folder of recorded answers: {INDEX} cannot be read ({type(error).__name__})."
        ) from None
    if not rows or not set(rows[0]) >= _COLUMNS:
        raise ParameterError(
            f"{folder / INDEX} lists no recorded answers; it has the columns {', '.join(sorted(_COLUMNS))}, "
            "a row an answer."
        )
    open_zip = cache(lambda name: zipfile.ZipFile(folder / name))
    try:
        answers = [Shown(_time(row["fetched_at"]), partial(_member, open_zip, row)) for row in rows]
    except ValueError as error:
        raise ParameterError(f"{folder / INDEX}: {error}.") from None
    answers.sort(key=lambda one: one.at)
    step = len(answers) / most if 0 < most < len(answers) else 1
    return [answers[int(number * step)] for number in range(min(most or len(answers), len(answers)))]


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC)


def _member(open_zip: Callable[[str], zipfile.ZipFile], row: dict[str, str]) -> bytes:
    return open_zip(row["zip"]).read(row["member"])


class _Handler(local_server.Handler):
    def __init__(self, replay: Replay, *args: object):
        self.replay = replay
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        replay = self.replay
        replay.hits.append(self.path)
        if replay.latency_s:
            time.sleep(replay.latency_s)
        shown = replay.answers[min(replay.turn, len(replay.answers) - 1)]
        date = {"Date": format_datetime(shown.at.astimezone(UTC), usegmt=True), RECORDED: "yes"}
        if "/historical/" in self.path:
            body, status = _as_it_stood(
                replay.answers, dict(parse_qsl(urlsplit(self.path).query)).get("date", "")
            )
            self.answer(body, status, date)
        elif "/odds" in self.path:
            replay.turn += 1
            content = shown.content()
            headers = {**date, "Content-Length": len(content), **shown.headers}
            self.answer(content[: shown.cut], shown.status, headers)
            self.close_connection |= shown.cut is not None
        else:
            self.answer(replay.scores(shown.at), headers=date)


def _as_it_stood(answers: Sequence[Shown], date: str) -> tuple[bytes, int]:
    """Body and status of a call for historical odds."""
    try:
        at = datetime.fromisoformat(date).timestamp()
    except ValueError:
        return b'{"message": "The parameter date is a time such as 2024-03-04T09:00:00Z"}', 422
    number, times = stood_at([one.at.timestamp() for one in answers], at)
    data = answers[number].content() if number >= 0 else b"[]"
    return json.dumps(times).encode()[:-1] + b', "data": ' + data + b"}", 200


def _main() -> None:
    parser = argparse.ArgumentParser(description="Play recorded answers back until standard input closes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that an answer waits")
    parser.add_argument(
        "--most", type=int, default=0, help="at most this many answers, evenly spaced; 0: all"
    )
    given = parser.parse_args()
    local_server.end_with_input()
    replay = Replay(recorded_answers(given.folder, most=given.most), latency_s=given.latency)
    local_server.serve(partial(_Handler, replay), given.port)


if __name__ == "__main__":
    _main()
