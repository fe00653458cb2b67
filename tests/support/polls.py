"""A provider that changes its prices while it is polled."""

import json
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from pydantic import SecretStr

from overround.collection.poll_settings import PollSettings
from overround.collection.polled import Polled
from overround.collection.poller import poll
from overround.settings import Settings
from overround.sources.replay import Replay, Shown, replayed
from overround.sources.the_odds_api.client import Offer

CANARY = "canary5key7never9kept"


SPORT = "soccer_nowhere"


START = datetime(2030, 5, 4, 12, 0, tzinfo=UTC)


KICK_OFF = "2030-05-04T15:00:00Z"


def iso(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def event(books: dict[str, tuple], at: datetime, *, name: str = "e1", kick_off: str = KICK_OFF) -> dict:
    """An event with prices for home, draw and away of each bookmaker, all updated at a time."""
    return {
        "id": name,
        "sport_key": SPORT,
        "sport_title": "Nowhere",
        "commence_time": kick_off,
        "home_team": "Birch",
        "away_team": "Alder",
        "bookmakers": [
            {
                "key": key,
                "title": key,
                "last_update": iso(at),
                "markets": [
                    {
                        "key": "h2h",
                        "last_update": iso(at),
                        "outcomes": [
                            {"name": team, "price": price}
                            for team, price in zip(("Birch", "Draw", "Alder"), prices, strict=True)
                        ],
                    }
                ],
            }
            for key, prices in books.items()
        ],
    }


def answer(minute: float, *events: dict, **more: object) -> Shown:
    return Shown(START + timedelta(minutes=minute), json.dumps(list(events)).encode(), **more)  # type: ignore[arg-type]


def priced(minute: float, home_price: float, **more: object) -> Shown:
    """An answer with one event, of which the home price is given and the others are 3.5 and 4."""
    at = START + timedelta(minutes=minute)
    return answer(minute, event({"onebook": (home_price, 3.5, 4.0)}, at - timedelta(seconds=10), **more))  # type: ignore[arg-type]


def settings_for(folder: Path, url: str, **more: object) -> Settings:
    return Settings(
        store=str(folder / "store"),
        cache=folder / "cache",
        odds_api_url=url,
        odds_api_key=SecretStr(CANARY),
        **more,
    )  # type: ignore[arg-type]


def polled(server: Replay, folder: Path, **more: object) -> Polled:
    """A poll for each answer of the server, in the answers' time, nothing from the cache."""
    of_poll = {name: more.pop(name) for name in ("every_s", "until", "polls", "ttl", "offer") if name in more}
    polling = PollSettings(**{"every_s": 60, "polls": len(server.answers), "ttl": 0, **of_poll})  # type: ignore[arg-type]
    sports = more.pop("sports", (SPORT,))
    given = {"settings": settings_for(folder, server.url), "sleep": server.sleep, **more}
    return poll(sports, polling, clock=server.clock, **given)  # type: ignore[arg-type]


WORLD_CUP = "soccer_fifa_world_cup"


def collect_recorded(answers: list[Shown], folder: Path) -> Polled:
    with replayed(answers) as server:
        started = answers[0].at.timestamp()
        turns = count()
        return poll(
            [WORLD_CUP],
            PollSettings(
                every_s=30,
                polls=len(answers),
                ttl=0,
                offer=Offer(markets="h2h,totals", odds_format="american"),
            ),
            settings=settings_for(folder, server.url),
            sleep=lambda _: next(turns),
            clock=lambda: started + 30 * server.turn,
        )


def shown_prices(answer: Shown) -> dict[tuple, float]:
    """Decimal prices of a recorded American answer before kick-off, by no code of ours.

    The keys are event, bookmaker, market, line and outcome.
    """
    found = {}
    for one in json.loads(answer.content()):
        if datetime.fromisoformat(one["commence_time"]) <= answer.at:
            continue
        sides = {one["home_team"]: "home", one["away_team"]: "away"}
        for bookmaker in one["bookmakers"]:
            for market in bookmaker["markets"]:
                for outcome in market["outcomes"]:
                    side = sides.get(outcome["name"], outcome["name"].lower())
                    key = (one["id"], bookmaker["key"], market["key"], outcome.get("point"), side)
                    price = outcome["price"]
                    found[key] = round(1 + (price / 100 if price > 0 else -100 / price), 9)
    return found
