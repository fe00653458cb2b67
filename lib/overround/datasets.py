"""A small invented league, drawn in memory from a seed: for docstrings, questions and bug reports.

`example_signals`, `example_ledger`, `example_ledgers` and `example_sweep` are what the steps of the workbench
make of it.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from overround.errors import ParameterError
from overround.schema import OUTCOMES

if TYPE_CHECKING:
    from overround.sweeps import Sweep

_MATCHES_A_ROUND = 10
_EDGES = (0.01, 0.03)
_SWEEP = {"reference": "sharp", "min_edge": [0.01, 0.02, 0.03], "staking": "flat"}


class Example(NamedTuple):
    """The tables, with the columns that `Store.read` gives, and texts as `str`.

    Examples
    --------
    >>> import overround as ov
    >>> example = ov.example()
    >>> isinstance(example, ov.datasets.Example), example._fields
    (True, ('events', 'quotes', 'results'))
    """

    events: pd.DataFrame
    quotes: pd.DataFrame
    results: pd.DataFrame


def example(
    matches: int = 100, *, bookmakers: int = 4, looks: int = 5, a_season: int = 380, seed: int = 7
) -> Example:
    """An invented league: matches, results, and prices of a sharp bookmaker and of soft ones that follow it.

    Parameters
    ----------
    matches : int
        Ten a week.
    bookmakers : int
        The first is called sharp; the others, soft_1, soft_2 ..., follow it one snapshot later.
    looks : int
        Snapshots of all prices: the last half an hour before kick-off, each earlier one twelve hours before
        the next.
    a_season : int
        Matches per season.
    seed : int
        The same seed gives the same league.

    Returns
    -------
    Example
        The tables events, quotes and results.

    Raises
    ------
    ParameterError
        For a number below 1.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> len(events), len(quotes), sorted(set(quotes["bookmaker"]))
    (100, 6000, ['sharp', 'soft_1', 'soft_2', 'soft_3'])
    """
    for name, value in (
        ("matches", matches),
        ("bookmakers", bookmakers),
        ("looks", looks),
        ("a_season", a_season),
    ):
        if value < 1:
            raise ParameterError(f"{name} is {value}; at least 1 is needed.")
    rng = np.random.default_rng(seed)
    events = _events(matches, a_season)
    log_p = np.log(rng.dirichlet([6, 3.5, 4], matches) * 0.85 + 0.05)
    parts, before = [], log_p
    for look in range(looks):
        seen_at = events["starts_at"] - pd.Timedelta(hours=0.5 + 12 * (looks - 1 - look))
        for book in range(bookmakers):
            belief = np.exp((before if book else log_p) + rng.normal(0, 0.03 if book else 0.01, log_p.shape))
            price = 1 / (belief / belief.sum(axis=1, keepdims=True) * (1.05 if book else 1.02))
            parts += _prices(
                events, f"soft_{book}" if book else "sharp", np.maximum(price.round(2), 1.01), seen_at
            )
        before, log_p = log_p, log_p + rng.normal(0, 0.04, log_p.shape)
    quotes = pd.concat(parts, ignore_index=True).sort_values(
        ["collected_at", "event_id"], kind="stable", ignore_index=True
    )
    p = np.exp(before)
    won = (rng.random(matches)[:, None] > p.cumsum(axis=1) / p.sum(axis=1, keepdims=True)).sum(axis=1)
    results = events[["event_id"]].assign(
        home_score=np.where(won == 0, 2.0, 1.0),
        away_score=np.where(won == 2, 2.0, 1.0),
        status="final",
        settled_at=events["starts_at"] + pd.Timedelta(hours=2),
        competition=events["competition"],
        season=events["season"],
        starts_at=events["starts_at"],
    )
    return Example(events, quotes, results)


def example_signals() -> pd.DataFrame:
    """Value signals of the league of `example`, against the sharp bookmaker's prices.

    Examples
    --------
    >>> import overround as ov
    >>> signals = ov.datasets.example_signals()
    >>> sorted(set(signals["bookmaker"]))
    ['soft_1', 'soft_2', 'soft_3']
    """
    from overround.signals import value_signals

    return value_signals(example().quotes, "sharp")


def example_ledger() -> pd.DataFrame:
    """The ledger of `example_signals`, with the closing lines of the sharp bookmaker.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> "clv" in ledger, len(ledger) <= len(ov.datasets.example_signals())
    (True, True)
    """
    from overround.betting import backtest
    from overround.prices import closing_lines

    _, quotes, results = example()
    return backtest(example_signals(), results, closing=closing_lines(quotes, "sharp"))


def example_ledgers() -> dict[str, pd.DataFrame]:
    """Two ledgers of the league of `example` to compare: value bets from an edge of 1 % and of 3 %.

    Examples
    --------
    >>> import overround as ov
    >>> list(ov.datasets.example_ledgers())
    ['1%', '3%']
    """
    from overround.betting import backtest
    from overround.signals import value_signals

    _, quotes, results = example()
    return {
        f"{edge:.0%}": backtest(value_signals(quotes, "sharp", min_edge=edge), results) for edge in _EDGES
    }


def example_sweep() -> "Sweep":
    """A sweep over the least edge of value bets in the league of `example`: 1, 2 and 3 %.

    Examples
    --------
    >>> import overround as ov
    >>> len(ov.datasets.example_sweep().table)
    3
    """
    from overround.sweeps import sweep

    _, quotes, results = example()
    return sweep(quotes, _SWEEP, results)


def _events(matches: int, a_season: int) -> pd.DataFrame:
    number = np.arange(matches)
    season, within = number // a_season, number % a_season
    round_, match = within // _MATCHES_A_ROUND, within % _MATCHES_A_ROUND
    start = pd.Timestamp("2015-08-01 15:00", tz="UTC") + pd.to_timedelta(365 * season + 7 * round_, unit="D")
    teams = 2 * _MATCHES_A_ROUND
    # everybody plays once a round, each time against another team
    home, away = 2 * match, (2 * match + 1 + 2 * round_) % teams
    return pd.DataFrame(
        {
            "event_id": [f"match {i:05d}" for i in number],
            "sport": "soccer",
            "competition": "example",
            "season": (2015 + season).astype(str),
            "starts_at": pd.Series(start).astype("datetime64[us, UTC]"),
            "time_known": True,
            "home": [f"Team {i:02d}" for i in home],
            "away": [f"Team {i:02d}" for i in away],
            "source": "example",
        }
    )


def _prices(
    events: pd.DataFrame, bookmaker: str, price: np.ndarray, seen_at: pd.Series
) -> list[pd.DataFrame]:
    rows = events[["event_id", "competition", "season", "starts_at", "source"]].assign(
        bookmaker=bookmaker,
        market="h2h",
        line=np.nan,
        phase="snapshot",
        observed_at=seen_at,
        collected_at=seen_at,
    )
    return [
        rows.assign(outcome=outcome, price=price[:, slot]) for slot, outcome in enumerate(OUTCOMES["h2h"])
    ]
