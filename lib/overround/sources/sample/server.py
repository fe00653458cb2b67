"""HTTP server of the sample market, in The Odds API's v4 format.

`python -m overround.sources.sample.server --port 8000` starts it. It prints its address and ends when its
standard input closes, so that it never outlives its parent process. Besides the provider's paths there is
`/v4/historical/sports/{sport}/scores?date=`: the scores as polled at that time, with `daysFrom` up to 366.
Prices are always decimal and times ISO; any `apiKey` is accepted.
"""

import argparse
import json
import re
import time
from datetime import UTC, datetime
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from overround.sources import local_server
from overround.sources.sample.market import BOOKMAKERS, LEAGUES, Market, simulate, snapshot_times
from overround.sources.the_odds_api.snapshots import iso, stood_at

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_QUOTA = 10_000_000
_MATCH_S, _AHEAD_S, _DAY_S = 2 * 3600, 8 * 86_400, 86_400
_HELP = "https://the-odds-api.com/liveapi/guides/v4/api-error-codes.html#"


def serve(market: Market, port: int = 0, *, latency_s: float = 0.002) -> None:
    """Serve the market on loopback and print the address, until interrupted.

    Parameters
    ----------
    market : Market
        The market to simulate.
    port : int
        0 picks a free one.
    latency_s : float
        Delay of every answer in seconds, like that of a distant provider.
    """
    answers, costs = Answers(market), count()

    class SampleHandler(local_server.Handler):
        def do_GET(self) -> None:
            if latency_s:
                time.sleep(latency_s)
            parts = urlsplit(self.path)
            status, answer = answers.get(parts.path, dict(parse_qsl(parts.query)))
            used = next(costs)
            self.answer(
                json.dumps(answer, separators=(",", ":")).encode(),
                status,
                {"x-requests-remaining": _QUOTA - used, "x-requests-used": used, "x-requests-last": 1},
            )

    local_server.serve(SampleHandler, port)


class Answers:
    """Answers by path and parameters; on live paths it is always two minutes before the last kick-off."""

    def __init__(self, market: Market):
        self._market, self._all = market, simulate(market)
        self._times = [
            int(one) for season in range(market.seasons) for one in snapshot_times(market, season).ravel()
        ]
        self._in_a_round = len(self._times) // (market.seasons * 2 * (market.teams - 1))

    def get(self, path: str, params: dict[str, str]) -> tuple[int, Any]:
        """Return status and body."""
        if "apiKey" not in params:
            return _error(401, "MISSING_KEY", "API key is missing")
        leagues = tuple(LEAGUES)[: self._market.leagues]
        if path.rstrip("/") == "/v4/sports":
            return 200, [
                {
                    "key": key,
                    "group": "Simulated Soccer",
                    "title": LEAGUES[key],
                    "description": "Not a real league",
                    "active": True,
                    "has_outrights": False,
                }
                for key in leagues
            ]
        found = re.fullmatch("/v4/(historical/)?sports/([^/]+)/(odds|scores)/?", path)
        if not found:
            return _error(404, "NOT_FOUND", "The sample market has no such path")
        historical, sport, what = found.groups()
        if sport not in leagues:
            return _error(404, "UNKNOWN_SPORT", "Unknown sport")
        at = int(self._all.starts_at.max()) - 120.0
        if historical:
            try:
                at = (datetime.fromisoformat(params["date"]) - _EPOCH).total_seconds()
            except (KeyError, TypeError, ValueError):  # TypeError: a time without its zone
                return _error(
                    422,
                    "INVALID_HISTORICAL_TIMESTAMP",
                    "The parameter date is a time such as 2024-03-04T09:00:00Z",
                )
        if what == "scores":
            days = params.get("daysFrom", "0")
            if not days.isdecimal() or int(days) > 366:
                return _error(
                    422, "INVALID_SCORES_DAYS_FROM", "The parameter daysFrom is a number of days up to 366"
                )
            _, times = stood_at([at], at)
            data = self._scores(leagues.index(sport), at, int(days))
        else:
            number, times = stood_at(self._times, at)
            data = self._odds(leagues.index(sport), number) if number >= 0 else []
        return 200, {**times, "data": data} if historical else data

    def _odds(self, league: int, number: int) -> list[dict]:
        """The matches of a snapshot's round that had not started."""
        simulated, games = self._all, self._market.teams // 2
        round_, snapshot = divmod(number, self._in_a_round)
        first = (league * len(self._times) // self._in_a_round + round_) * games
        data = []
        for match in range(first, first + games):
            if simulated.starts_at[match] <= self._times[number]:
                continue
            event = self._event(match)
            teams = (event["home_team"], "Draw", event["away_team"])
            # the provider lists the teams by name, then the draw
            order = (0, 2, 1) if teams[0] < teams[2] else (2, 0, 1)
            event["bookmakers"] = [
                {
                    "key": book.key,
                    "title": f"Simulated {book.key[4:].title()}",
                    "markets": [
                        {
                            "key": "h2h",
                            "last_update": at,
                            "outcomes": [{"name": teams[one], "price": price[one]} for one in order],
                        }
                    ],
                }
                for book, price, at in zip(
                    BOOKMAKERS,
                    simulated.prices[match, :, snapshot].tolist(),
                    map(iso, simulated.updated[match, :, snapshot]),
                    strict=True,
                )
            ]
            data.append(event)
        return data

    def _scores(self, league: int, at: float, days: int) -> list[dict]:
        simulated = self._all
        ended = simulated.starts_at + _MATCH_S
        listed = (
            (simulated.league == league)
            & (ended > at - days * _DAY_S)
            & (simulated.starts_at <= at + _AHEAD_S)
        )
        data = []
        # matches that have ended are listed only when days are requested
        for match in np.flatnonzero(listed & ((ended > at) | (days > 0))).tolist():
            event = self._event(match) | {
                "completed": bool(ended[match] <= at),
                "scores": None,
                "last_update": None,
            }
            if event["completed"]:
                teams = (event["home_team"], event["away_team"])
                event["scores"] = [
                    {"name": team, "score": str(score)}
                    for team, score in zip(teams, simulated.scores[match], strict=True)
                ]
                event["last_update"] = iso(ended[match])
            data.append(event)
        return data

    def _event(self, match: int) -> dict[str, Any]:
        simulated = self._all
        sport = tuple(LEAGUES)[simulated.league[match]]
        return {
            "id": simulated.event_id[match],
            "sport_key": sport,
            "sport_title": LEAGUES[sport],
            "commence_time": iso(simulated.starts_at[match]),
            "home_team": simulated.home[match],
            "away_team": simulated.away[match],
        }


def _error(status: int, code: str, message: str) -> tuple[int, dict[str, str]]:
    return status, {
        "message": message,
        "error_code": code,
        "details_url": _HELP + code.lower().replace("_", "-"),
    }


def _main() -> None:
    parser = argparse.ArgumentParser(description="Serve the simulated market until standard input closes.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.002, help="seconds that an answer waits")
    parser.add_argument("--market", type=json.loads, default={}, help='fields of Market, e.g. {"seed": 1}')
    given = parser.parse_args()
    local_server.end_with_input()
    serve(Market(**given.market), given.port, latency_s=given.latency)


if __name__ == "__main__":
    _main()
