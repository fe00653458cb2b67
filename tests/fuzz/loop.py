"""The loop: mutate, parse, judge. An answer may be taken, in whole or in part, or refused by an error of our
own; nothing else.

Making tables of two matches takes a hundred times as long as reading them, so answers that can be are parsed
many at a time, and each by itself as soon as anything is refused or goes wrong.
"""

import copy
import json
import re
import resource
import signal
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from types import FrameType
from typing import Any

from overround.errors import OverroundError
from overround.http.client import Answer
from overround.sources.base import Batch
from overround.sources.football_data.parser import parse
from overround.sources.the_odds_api.parser import parse_many, parse_scores
from tests.fuzz import mutations
from tests.support.servers import DATA

AT = datetime(2025, 6, 1, 12, tzinfo=UTC)
LONGEST_S = 20.0  # of one parse, CPU
MOST_MB = 300.0  # more than before
TOGETHER = 128
_FILES = (
    b"Div,Date,Time,HomeTeam,AwayTeam,FTHG,FTAG,FTR,B365H,B365D,B365A,B365>2.5,B365<2.5,AHh,B365AHH,B365AHA,PSCH,PSCD,PSCA\r\n"
    b"E0,16/08/2024,20:00,Ashford,Brook,2,1,H,1.8,3.5,4.5,1.9,1.95,-0.5,1.9,2.0,1.85,3.4,4.4\r\n"
    b"E0,17/08/2024,15:00,Brook,Cliff,0,0,D,2.8,3.2,2.5,2.1,1.75,0.25,1.92,1.98,2.9,3.1,2.45\r\n",
    b"Country,League,Season,Date,Time,Home,Away,HG,AG,Res,PSCH,PSCD,PSCA\r\nArgentina,Liga,2024,16/08/2024,20:00,Ash,Oak,2,1,H,1.8,3.5,4.5\r\n",
)


class Hang(BaseException):
    """A parse that took too long."""


@dataclass
class Found:
    """How many answers were parsed, how they ended, and those that ended as nothing may."""

    executions: int = 0
    ended: Counter = field(default_factory=Counter)
    failures: list[tuple[bytes, str]] = field(default_factory=list)


def fuzz(target: str, executions: int, seed: int, seeds: "list[Any] | None" = None) -> Found:
    """Parse so many mutated answers.

    Parameters
    ----------
    target : str
        One of `TARGETS`.
    executions : int
        At least so many.
    seed : int
        The same seed and the same answers to begin with give the same run.
    seeds : list, optional
        Answers to begin with; by default recorded ones where they are, and made-up ones.
    """
    begin, mutated, together, alone = TARGETS[target]
    seeds = begin() if seeds is None else seeds
    random, found, waiting = Random(seed), Found(), []  # noqa: S311
    while found.executions < executions:
        if (
            found.executions % TOGETHER == 0
        ):  # for a while the same one, because files go together under one header
            answer = random.choice(seeds)
        content, joins = mutated(random, answer)
        found.executions += 1
        if joins:
            waiting.append(content)
        else:
            _judge(alone, content, found)
        if found.executions % TOGETHER == 0 or found.executions >= executions:
            _judge_all(together, alone, waiting, found)
            waiting = []
    return found


def _judge_all(together: Callable, alone: Callable, contents: list, found: Found) -> None:
    """Parse them at once; where that is refused or fails, in halves."""
    if len(contents) == 1:
        _judge(alone, contents[0], found)
    elif contents:
        trial = Found()
        _judge(together, contents, trial)
        if trial.failures or trial.ended["refused"]:
            half = len(contents) // 2
            _judge_all(together, alone, contents[:half], found)
            _judge_all(together, alone, contents[half:], found)
        else:
            found.ended["taken"] += len(contents)


def _judge(parse_it: Callable[[Any], Batch], content: Any, found: Found) -> None:
    before = _peak_mb()
    signal.setitimer(signal.ITIMER_PROF, LONGEST_S)
    try:
        batch = parse_it(content)
        signal.setitimer(signal.ITIMER_PROF, 0)
        how = "taken" if len(batch.events) else "taken, empty"
        wrong = _wrong(batch)
    except OverroundError as error:
        how, wrong = (
            "refused",
            "" if _is_a_sentence(str(error)) else f"its error is no sentence: {str(error)!r}",
        )
    except (Exception, Hang) as error:
        how, wrong = "failed", f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if (grown := _peak_mb() - before) > MOST_MB:
        wrong = wrong or f"took {grown:.0f} MB"
    found.ended[how] += 1
    if wrong:
        found.failures.append((content, wrong))


def _wrong(batch: Batch) -> str:
    """What no answer may lead to; that prices are prices and words are known, the tables check themselves."""
    events = set(batch.events["event_id"])
    if not set(batch.quotes["event_id"]) <= events or not set(batch.results["event_id"]) <= events:
        return "a price or a result of no event"
    if batch.events["event_id"].duplicated().any():
        return "an event twice"
    key = ["event_id", "bookmaker", "market", "line", "outcome", "phase", "observed_at"]
    return "a price twice" if batch.quotes.duplicated(key).any() else ""


def _is_a_sentence(text: str) -> bool:
    return text.isprintable() and text.endswith(".") and len(text) < 1000


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _too_long(_: int, __: FrameType | None) -> None:
    raise Hang(f"longer than {LONGEST_S:.0f} s")


signal.signal(signal.SIGPROF, _too_long)


# --- football-data.co.uk


def files() -> list[bytes]:
    """The first lines of recorded files, of every era and both layouts, and made-up ones."""
    found = [_begin(path.read_bytes()) for path in sorted((DATA / "football-data").glob("mmz4281/*/E0.csv"))]
    found += [_begin(path.read_bytes()) for path in sorted((DATA / "football-data").glob("new/*.csv"))]
    return [*found, *_FILES]


def _begin(content: bytes) -> bytes:
    return b"\n".join(content.split(b"\n")[:3]) + b"\n"


def _mutated_file(random: Random, content: bytes) -> tuple[bytes, bool]:
    """A changed file, and whether only its lines of matches are."""
    kind = random.random()
    if kind < 0.008:
        return mutations.of_bytes(random, content), False
    lines = content.decode("cp1252", "replace").split("\n")
    if kind < 0.02:
        lines[0] = mutations.of_header(random, lines[0].rstrip("\r")) + "\r"
        return "\n".join(lines).encode("utf-8"), False
    at = random.randrange(1, len(lines))
    lines[at] = mutations.of_line(random, lines[at].rstrip("\r"))
    return "\n".join(lines).encode("utf-8"), True


def _parse_file(content: bytes) -> Batch:
    new = content[:7] == b"Country"
    league, season = ("ARG", None) if new else ("E0", _season(content))
    return parse(content, "the file", competition=league, season=season, collected_at=AT)


def _season(content: bytes) -> str:
    """The season of the first day in a file of a division: rows of other years would be set aside."""
    day = re.search(rb",\d\d/(\d\d)/(?:\d\d)?(\d\d),", content)
    if day is None:
        return "2425"
    first = int(day[2]) - (int(day[1]) < 7)
    return f"{first % 100:02}{(first + 1) % 100:02}"


def _parse_files(contents: list[bytes]) -> Batch:
    """As one file; they have the same header."""
    header, _, _ = contents[0].partition(b"\n")
    return _parse_file(b"\n".join([header, *(content.partition(b"\n")[2] for content in contents), b""]))


# --- The Odds API


def odds_answers() -> list[Any]:
    """Recorded answers with odds, and made-up ones of the simulated market, cut to a few events, bookmakers
    and markets.
    """
    return [*map(_few, _recorded("odds")), *map(_few, _simulated("odds"))]


def scores_answers() -> list[Any]:
    """Made-up answers with scores."""
    return [*map(_few, _simulated("scores")), *map(_few, _recorded("scores"))]


def _recorded(endpoint: str) -> Iterator[Any]:
    for archive in sorted((DATA / "the-odds-api").glob(f"*/{endpoint}/*.zip"))[:12]:
        with zipfile.ZipFile(archive) as zipped:
            for name in zipped.namelist()[:2]:
                yield json.loads(zipped.read(name))
    for path in sorted((DATA / "the-odds-api").glob("documented/*odds*.json")):
        if endpoint == "odds":
            yield json.loads(path.read_bytes())


def _simulated(endpoint: str) -> Iterator[Any]:
    team = {
        "home_team": "Ashford",
        "away_team": "Brook",
        "sport_key": "soccer_nowhere",
        "commence_time": "2030-05-04T14:00:00Z",
    }
    outcomes = [
        {"name": "Ashford", "price": 1.8},
        {"name": "Brook", "price": 4.5},
        {"name": "Draw", "price": 3.5},
    ]
    sides = [{"name": "Over", "price": 1.9, "point": 2.5}, {"name": "Under", "price": 1.95, "point": 2.5}]
    handicap = [
        {"name": "Ashford", "price": -110, "point": -0.5},
        {"name": "Brook", "price": 100, "point": 0.5},
    ]
    when = {"last_update": "2030-05-04T10:00:00Z"}
    books = [
        {"key": "one", "title": "One", **when, "markets": [{"key": "h2h", **when, "outcomes": outcomes}]},
        {"key": "two", "title": "Two", "markets": [{"key": "totals", **when, "outcomes": sides}]},
    ]
    american = [
        {
            "key": "three",
            "title": "Three",
            "markets": [{"key": "spreads", "last_update": 1904119200, "outcomes": handicap}],
        }
    ]
    scores = [{"name": "Ashford", "score": "2"}, {"name": "Brook", "score": "0"}]
    if endpoint == "odds":
        yield [{"id": "e1", **team, "bookmakers": books}]
        yield [{"id": "e2", **team, "bookmakers": american}]
        yield {"timestamp": "2030-05-04T10:05:00Z", "data": [{"id": "e3", **team, "bookmakers": books}]}
    else:
        yield [
            {"id": "e1", **team, "completed": True, "scores": scores, **when},
            {"id": "e2", **team, "completed": False, "scores": None},
        ]


def _few(answer: Any) -> Any:
    answer = copy.deepcopy(answer)
    events = answer["data"] if isinstance(answer, dict) and "data" in answer else answer
    if isinstance(events, list):
        del events[1:]
    for event in events if isinstance(events, list) else [events]:
        del event.get("bookmakers", [])[2:]
        for book in event.get("bookmakers", []):
            del book["markets"][2:]
    return answer


def _mutated_answer(random: Random, answer: Any) -> tuple[bytes, bool]:
    """A changed answer, and whether it still is a document."""
    if random.random() < 0.1:
        content = mutations.of_bytes(random, json.dumps(answer).encode())
    else:
        content = mutations.of_document(random, copy.deepcopy(answer))
    try:
        tree = json.loads(content)
        return content, isinstance(tree, list) or (
            isinstance(tree, dict) and isinstance(tree.get("data"), list)
        )
    except (ValueError, RecursionError):
        return content, False


def _answer(content: bytes) -> Answer:
    return Answer("the answer", 200, content, AT, False, {})


def _parse_scores_together(contents: list[bytes]) -> Batch:
    lists = [content.strip()[1:-1] for content in contents]
    return _parse_scores(b"[" + b",".join(events for events in lists if events.strip()) + b"]")


def _parse_scores(content: bytes) -> Batch:
    return parse_scores(content, "the answer", fetched_at=AT)


def _mutated_scores(random: Random, answer: Any) -> tuple[bytes, bool]:
    content, joins = _mutated_answer(random, answer)
    return content, joins and content.lstrip()[:1] == b"["


# name -> answers to begin with, a mutation, a parse of many, a parse of one
TARGETS: dict[str, tuple] = {
    "football-data": (files, _mutated_file, _parse_files, _parse_file),
    "the-odds-api": (
        odds_answers,
        _mutated_answer,
        lambda contents: parse_many(map(_answer, contents)),
        lambda one: parse_many([_answer(one)]),
    ),
    "the-odds-api-scores": (scores_answers, _mutated_scores, _parse_scores_together, _parse_scores),
}
