"""Random small markets, and the rules of the signals read slowly: plain loops over plain dictionaries."""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pandas as pd

from overround.prices.margin import remove_margin
from tests.support.books import KICK_OFF, quote, quotes

NOT_ACCOUNTS = ("market_average", "market_maximum")
BOOKS = ("pinnacle", "alpha", "beta", "gamma", "delta", "betfair_exchange")


@lru_cache(maxsize=32)
def random_market(
    seed: int, *, events: int = 4, polls: int = 8, noise: float = 0.05, books: tuple[str, ...] = BOOKS
) -> pd.DataFrame:
    """Changes only, as a poller stores them: 1X2 (with an exchange's lay prices), totals and handicaps on two
    lines, gaps.

    The times of the polls are whole minutes before kick-off, the same for all; bookmakers' own clocks are up
    to two hours earlier. In the first match a draw is unlikely, and nobody shows a price of it until seven
    hours before kick-off.
    """
    rng = np.random.default_rng(seed)
    minutes = np.sort(rng.choice(np.arange(5, 60 * 30, 5), polls, replace=False))[::-1]
    rows = []
    for event in range(events):
        chances = {
            ("h2h", None): rng.dirichlet([5, 3, 4]),
            ("totals", 2.5): rng.dirichlet([6, 6]),
            ("totals", 3.5): rng.dirichlet([6, 6]),
            ("spreads", -1.5): rng.dirichlet([6, 6]),
            ("spreads", -0.5): rng.dirichlet([6, 6]),
        }
        if event == 0:
            chances["h2h", None] = np.array([0.55, 0.03, 0.42])
        shown: dict[tuple, float] = {}
        for before in minutes:
            for (market, line), p in chances.items():
                if rng.random() < 0.5:
                    p *= np.exp(rng.normal(0, noise, len(p)))
                    p /= p.sum()
                for book in books:
                    if rng.random() < 0.4:
                        continue
                    outcomes = {
                        "h2h": ("home", "draw", "away"),
                        "totals": ("over", "under"),
                        "spreads": ("home", "away"),
                    }[market]
                    q = p * np.exp(rng.normal(0, noise / 2, len(p)))
                    price = np.round(1 / (q / q.sum() * rng.uniform(0.99, 1.06)), 2)
                    sides = [(market, price)]
                    if book == "betfair_exchange" and market == "h2h":
                        sides.append(("h2h_lay", np.round(price * 1.01 + 0.01, 2)))
                    seen = KICK_OFF - pd.Timedelta(minutes=int(before))
                    own = seen - pd.Timedelta(seconds=int(rng.integers(0, 7200)))
                    for kind, prices in sides:
                        for outcome, value in zip(outcomes, prices, strict=True):
                            if outcome == "draw" and event == 0 and before > 420:
                                continue
                            key = (book, kind, line, outcome)
                            if value > 1 and shown.get(key) != value and rng.random() > 0.03:
                                shown[key] = float(value)
                                one = quote(
                                    f"m{event}",
                                    book,
                                    outcome,
                                    float(value),
                                    market=kind,
                                    line=line,
                                    phase="snapshot",
                                    at=str(own)[:19],
                                )
                                rows.append({**one, "collected_at": seen})
    frame = quotes(rows)
    # the order of the rows means nothing
    return frame.sample(frac=1, random_state=seed).reset_index(drop=True)


def slow_states(
    rows: pd.DataFrame, max_age_h: float = 24.0
) -> Iterator[tuple[tuple, pd.Timestamp, dict, dict, dict]]:
    """For each market and time: standing prices {bookmaker: {outcome: price}}, lay prices alike, and how many
    ways each bookmaker offers, as `slow_ways` has it.
    """
    groups: dict[tuple, list] = {}
    for row in rows.itertuples(index=False):
        if row.observed_at < row.starts_at and row.collected_at < row.starts_at and row.phase == "snapshot":
            market = "h2h" if row.market == "h2h_lay" else row.market
            groups.setdefault((row.event_id, market, None if math.isnan(row.line) else row.line), []).append(
                row
            )
    for market, found in groups.items():
        back: dict[str, dict] = {}
        lay: dict[str, dict] = {}
        changed: dict[tuple, pd.Timestamp] = {}
        drawn: set[str] = set()
        for at in sorted({row.collected_at for row in found}):
            for row in sorted(
                (row for row in found if row.collected_at == at), key=lambda row: row.observed_at
            ):
                side = lay if row.market == "h2h_lay" else back
                side.setdefault(row.bookmaker, {})[row.outcome] = row.price
                changed[side is lay, row.bookmaker] = at
                if row.outcome == "draw":
                    drawn.add(row.bookmaker)
            fresh = [
                {
                    b: dict(p)
                    for b, p in sorted(side.items())
                    if at - changed[which, b] <= pd.Timedelta(hours=max_age_h)
                }
                for which, side in ((False, back), (True, lay))
            ]
            ways = slow_ways(fresh[0], fresh[1], drawn) if market[1] == "h2h" else {}
            yield market, at, fresh[0], fresh[1], ways


def slow_ways(back: dict[str, dict], lay: dict[str, dict], drawn: set[str]) -> dict[str, int]:
    """3 for a bookmaker that has shown a draw, 2 where home and away are a book by themselves; what is then
    not known is as the others, where they agree.
    """
    ways = {}
    for book in {*back, *lay}:
        prices = back.get(book, {})
        if book in drawn:
            ways[book] = 3
        elif {"home", "away"} <= set(prices) and 0.98 <= 1 / prices["home"] + 1 / prices["away"] <= 1.5:
            ways[book] = 2
    known = set(ways.values())
    usual = known.pop() if len(known) == 1 else 0
    return {book: ways.get(book, usual) for book in {*back, *lay}}


def alike(ways: dict[str, int], one: str, other: str) -> bool:
    """Whether prices of two bookmakers are of the same selection."""
    mixed = {2, 3} <= set(ways.values())
    return not mixed or ways[one] == ways[other] != 0


def slow_fair(prices: dict[str, float], market: str, draw: bool, method: str = "power") -> dict[str, float]:
    """Margin-free probabilities of one bookmaker's market; none where it is not whole or no market."""
    outcomes = (
        ("over", "under") if market == "totals" else ("home", "draw", "away") if draw else ("home", "away")
    )
    if any(outcome not in prices for outcome in outcomes):
        return {}
    inverse = sum(1 / prices[outcome] for outcome in outcomes)
    if not 0.98 <= inverse <= 1.5:
        return {}
    fair = remove_margin([[prices[outcome] for outcome in outcomes]], method)[0]
    return {outcome: p for outcome, p in zip(outcomes, fair, strict=True) if not math.isnan(p)}


def pays(book: str, price: float) -> float:
    """A price less the 5 % that the exchange keeps of a win."""
    return 1 + (price - 1) * 0.95 if book == "betfair_exchange" else price


def slow_value(
    rows: pd.DataFrame, reference: str, min_edge: float, max_price: float = 15.0, max_edge: float = 0.25
) -> list[tuple]:
    """Bets (event, market, line, outcome, bookmaker, price, probability, time) as `value_signals` says
    them.
    """
    bets: dict[tuple, tuple] = {}
    for (event, market, line), at, back, _, ways in slow_states(rows):
        fair = {book: slow_fair(prices, market, ways.get(book) == 3) for book, prices in back.items()}
        best: dict[str, tuple] = {}
        for book, prices in back.items():
            if book == reference or book in NOT_ACCOUNTS:
                continue
            for outcome, price in prices.items():
                if reference == "consensus":
                    said = [
                        fair[other][outcome]
                        for other in fair
                        if other not in (book, *NOT_ACCOUNTS)
                        and outcome in fair[other]
                        and alike(ways, book, other)
                    ]
                    p = sum(said) / len(said) if len(said) >= 3 else math.nan
                elif reference in back and alike(ways, book, reference):
                    p = fair[reference].get(outcome, math.nan)
                else:
                    p = math.nan
                edge = p * pays(book, price) - 1
                better = outcome not in best or pays(book, price) > pays(*best[outcome][:2])
                if min_edge <= edge <= max_edge and price <= max_price and better:
                    best[outcome] = (book, price, p)
        for outcome, found in best.items():
            bets.setdefault((event, market, line, outcome), (*found, at))
    return sorted((*key, *bet) for key, bet in bets.items())


def slow_seed(rows: pd.DataFrame, min_mean: float = 2.0, max_spread: float = 0.2) -> list[tuple]:
    """Bets (event, market, line, outcome, bookmaker, price, time) of the seed rule."""
    bets: dict[tuple, tuple] = {}
    for (event, market, line), at, back, _, ways in slow_states(rows):
        for outcome in ("home", "draw", "away", "over", "under"):
            shown = {
                book: prices[outcome]
                for book, prices in back.items()
                if outcome in prices and book not in NOT_ACCOUNTS
            }
            wanted = []
            for book in shown:
                prices = [shown[other] for other in shown if alike(ways, book, other)]
                if len(prices) >= 2 and np.mean(prices) > min_mean and np.std(prices, ddof=1) < max_spread:
                    wanted.append(book)
            if wanted:
                book = max(wanted, key=lambda name: pays(name, shown[name]))
                bets.setdefault((event, market, line, outcome), (book, shown[book], at))
    return sorted((*key, *bet) for key, bet in bets.items())


def slow_covers(rows: pd.DataFrame, commission: dict[str, float]) -> list[tuple]:
    """Arbitrages over all outcomes: (event, market, line, time, return), the first of each market, and of
    two and three ways apart.
    """
    found: dict[tuple, tuple] = {}
    for (event, market, line), at, back, _, ways in slow_states(rows):
        sides = {
            "totals": [("over", "under")],
            "spreads": [("home", "away")],
            "h2h": [("home", "away"), ("home", "draw", "away")],
        }
        for outcomes in sides[market]:
            best = []
            for outcome in outcomes:
                net = [
                    1 + (p[outcome] - 1) * (1 - commission.get(b, 0))
                    for b, p in back.items()
                    if outcome in p and b not in NOT_ACCOUNTS
                    if market != "h2h" or ways[b] == len(outcomes)
                ]
                best.append(max(net, default=0))
            if all(best):
                gain = 1 / sum(1 / price for price in best) - 1
                if 1e-12 < gain <= 0.25:
                    found.setdefault((event, market, line, len(outcomes)), (at, gain))
    return sorted((*key[:3], *value) for key, value in found.items())


def slow_steam(rows: pd.DataFrame, window_min: float, least_books: int, least_move: float) -> list[tuple]:
    """Steam (event, market, line, outcome, time, direction, books)."""
    found, history = [], {}
    for key, at, back, _, ways in slow_states(rows):
        fair = {
            book: slow_fair(prices, key[1], ways.get(book) == 3)
            for book, prices in back.items()
            if book not in NOT_ACCOUNTS
        }
        past = history.setdefault(key, [])
        past.append((at, fair, {}))
        then = [one for one in past if one[0] <= at - pd.Timedelta(minutes=window_min)]
        for outcome in ("home", "draw", "away", "over", "under"):
            moves = [
                fair[b][outcome] / then[-1][1][b][outcome] - 1
                for b in fair
                if outcome in fair[b] and then and outcome in then[-1][1].get(b, {})
            ]
            up, down = sum(move >= least_move for move in moves), sum(move <= -least_move for move in moves)
            for direction, books, others in ((1, up, down), (-1, down, up)):
                steams = books >= least_books and books > others
                past[-1][2][outcome, direction] = steams
                if steams and not (len(past) > 1 and past[-2][2].get((outcome, direction))):
                    found.append((*key, outcome, at, direction, books))
    return sorted(found)
