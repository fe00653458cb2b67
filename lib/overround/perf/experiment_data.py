"""Material of the experiments: a provider on loopback with simulated or recorded answers, prices, bets."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from overround.errors import ParameterError
from overround.http.client import Fetcher
from overround.perf.workloads import BOOK_SEED, book, quotes
from overround.sources.the_odds_api.parser import SOURCE, parse_many
from overround.sources.the_odds_api.snapshots import iso

Call = tuple[str, dict[str, str]]
WORKERS = 6  # of the fetchers
_LATENCY_S, _CALLS = 0.01, 12
_EVENTS, _BETS = 4, 2_000
SEED = 7  # of drawn results


@dataclass(frozen=True)
class Material:
    """A provider on loopback, the calls to make, and prices, bets and results."""

    source: str
    url: str
    calls: list[Call]
    prices: pd.DataFrame
    bets: pd.DataFrame
    results: pd.DataFrame


def material(feed: Path | str = "", answers: int = 40) -> str:
    """Origin of the answers, prices, bets and results of `run`, with the seeds, in words for a report."""
    intervals = "Intervals are bootstrapped over pairs with seed 0."
    if not str(feed):
        return (
            "Answers and prices are those of the simulated market; "
            f"bets and results are drawn with seed {BOOK_SEED}. {intervals}"
        )
    return (
        f"Answers and prices are {answers} recorded answers of The Odds API. Who won is not in them, so "
        f"results of the bets are drawn with seed {SEED} from the last prices without their margins: "
        f"they serve to time a backtest and say nothing of a yield. {intervals}"
    )


@contextmanager
def simulated_provider(latency_s: float, calls: int) -> Iterator[tuple[str, list[Call]]]:
    """A distant provider, in a process of its own: its address, and calls that it answers."""
    from overround.sources.sample.market import LEAGUES, Market, snapshot_times
    from overround.sources.sample.source import serving

    market = Market(leagues=1, seasons=1, teams=4)
    path, times = f"/v4/historical/sports/{next(iter(LEAGUES))}/odds", snapshot_times(market, 0).ravel()
    asked = {"regions": "sim", "markets": "h2h", "oddsFormat": "decimal", "dateFormat": "iso"}
    with serving(market, latency_s=latency_s) as url:
        yield url, [(path, {**asked, "date": iso(time)}) for time in times[:calls]]


@contextmanager
def simulated(shown: pd.DataFrame) -> Iterator[Material]:
    """Answers of the simulated market, the prices shown or else simulated ones, and drawn bets."""
    from overround.sources.sample.market import SOURCE

    prices = shown[(shown["phase"] == "snapshot") & (shown["market"] == "h2h")] if len(shown) else shown
    with simulated_provider(_LATENCY_S, _CALLS) as (url, calls):
        yield Material(SOURCE, url, calls, prices if len(prices) else quotes(_EVENTS), *book(_BETS))


@contextmanager
def recorded(folder: Path, answers: int) -> Iterator[Material]:
    """Recorded answers, the prices in them, and bets on these with drawn results."""
    from overround.sources.replay import recorded_answers, serving

    times = [one.at for one in recorded_answers(folder, most=answers)]
    sport = folder.parent.name if folder.name == "odds" else folder.name
    asked = {"regions": "us", "markets": "h2h,totals", "oddsFormat": "american", "dateFormat": "iso"}
    calls = [
        (f"/v4/historical/sports/{sport}/odds", {**asked, "date": iso(time.timestamp())}) for time in times
    ]
    with tempfile.TemporaryDirectory() as cache, serving(folder, latency_s=_LATENCY_S, most=answers) as url:
        with Fetcher(SOURCE, url, Path(cache), secrets={"apiKey": "recorded"}, workers=WORKERS) as fetcher:
            batch = parse_many(fetcher.get_many(calls))
        prices = batch.quotes.merge(batch.events[["event_id", "starts_at"]], on="event_id")
        prices = prices[(prices["market"] == "h2h") & (prices["observed_at"] < prices["starts_at"])]
        if prices.empty:
            raise ParameterError(
                f"the {len(calls)} answers of {folder} show no price of a match before its start; "
                "take more of them."
            )
        step = max(1, len(calls) // _CALLS)
        yield Material(SOURCE, url, calls[::step][:_CALLS], prices, *_drawn(prices))


def _drawn(prices: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A bet on each price in order of time, and results drawn from the last prices without their margins."""
    first = prices.sort_values(["observed_at", "event_id", "bookmaker", "outcome"], kind="stable").head(_BETS)
    bets = first.assign(
        side="back",
        probability=1 / first["price"],
        edge=0.0,
        placed_at=first["observed_at"],
        strategy="every price",
    )
    last = prices.drop_duplicates(["event_id", "bookmaker", "outcome"], keep="last")
    matches = last.groupby("event_id", observed=True)
    won = matches.sample(1, weights=1 / last["price"], random_state=SEED).reset_index(drop=True)
    return bets, won[["event_id", "competition", "season"]].assign(
        home_score=(won["outcome"] == "home").astype(float),
        away_score=(won["outcome"] == "away").astype(float),
        status="final",
        settled_at=pd.Series(pd.NaT, won.index, "datetime64[us, UTC]"),
    )


def open_fetcher(given: Material, cache: Path) -> Fetcher:
    """What asks the provider of the material."""
    return Fetcher(given.source, given.url, cache, secrets={"apiKey": "loopback"}, workers=WORKERS)
