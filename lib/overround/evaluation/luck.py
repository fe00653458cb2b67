"""How easily luck alone would have done as well, by results redrawn from the margin-free closing prices."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from overround._typing import Floats, Whole
from overround.betting.accounts import Account, Execution
from overround.betting.book import Book, ledger_arrays, make_book, placement_order
from overround.betting.staking import Staking
from overround.errors import ParameterError
from overround.evaluation.drawdown import bankroll_at_start
from overround.evaluation.redrawn_results import Ways, can_be_drawn, drawable, ways_to_end
from overround.measure.procfs import cores
from overround.schema import COMMISSION

_POINTS = 400  # more places on a bankroll figure than it has pixels
_ALONE = 200_000  # bets in all histories that are not worth a second thread


def luck_test(
    ledger: pd.DataFrame,
    *,
    simulations: int = 10_000,
    seed: int = 7,
    stake: Staking | None = None,
    accounts: Iterable[Account] | None = None,
    execution: Execution | None = None,
    commission: Mapping[str, float] = COMMISSION,
    bankroll: float | None = None,
) -> dict[str, float]:
    """Chance that luck alone earns at least the profit of these bets.

    Results are redrawn from the market's own margin-free closing probabilities: one number between 0 and 1
    for the goals of a match and one for its winner and margin of victory decide all bets on it, which stay
    dependent. Bets and prices are those of the ledger. Without `stake`, the stakes are too, and void bets and
    bets without a closing probability are left out. With the rule that made the ledger, every history is
    played from the first bet: stakes are sized on the bankroll of that history, in the order of time, under
    the same limits; bets that cannot be redrawn keep their result.

    If by the close the prices were better than fair on the whole, that advantage is taken out of the
    histories: it is an edge, not luck. Each unit staked then pays less by its closing value, so that every
    bet of every history is fair, whatever the stakes; otherwise the histories lose the margin. On average
    histories therefore earn nothing or lose.

    A closing probability does not say how often a whole line pushes, or a quarter line ends half won or half
    lost. That is as frequent in the histories as among these bets (totals and handicaps, whole and quarter
    lines apart), and the rest is divided so that the price implied by the closing probability is fair.

    Parameters
    ----------
    ledger : DataFrame
        What `backtest` returned, or the store's copy.
    simulations, seed : int
        Histories, and the seed of their random numbers; the same whatever the number of threads.
    stake, accounts, execution, commission
        What the backtest was called with.
    bankroll : float, optional
        Money at the start, where the ledger does not say it.

    Returns
    -------
    dict
        p: (1 + histories at least as good) / (1 + simulations); profit of the bets; expected: their profit by
        the close; bets: how many were redrawn; restaked: whether the stakes were sized again.

    Raises
    ------
    ParameterError
        With a `stake` that does not give the ledger's own stakes.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> luck = ov.luck_test(ledger, simulations=500)
    >>> bool(0 < luck["p"] <= 1), luck["bets"] == len(ledger)
    (True, True)
    """
    again = _replay(ledger, stake, accounts, execution, commission, bankroll)
    if again is None:
        return {"p": np.nan, "profit": np.nan, "expected": np.nan, "bets": 0, "restaked": stake is not None}
    profits, _ = _play(again, simulations, seed, np.empty(0, np.int64))
    # the last digit of a sum depends on its order
    better = (profits >= again.profit - 1e-9 * again.turnover).sum()
    return {
        "p": (1 + better) / (1 + simulations),
        "profit": again.profit,
        "expected": again.expected,
        "bets": again.bets,
        "restaked": stake is not None,
    }


def luck_band(
    ledger: pd.DataFrame,
    *,
    simulations: int = 2_000,
    seed: int = 7,
    levels: tuple[float, ...] = (0.05, 0.5, 0.95),
    stake: Staking | None = None,
    accounts: Iterable[Account] | None = None,
    execution: Execution | None = None,
    commission: Mapping[str, float] = COMMISSION,
    bankroll: float | None = None,
) -> pd.DataFrame:
    """Quantiles of the running profit in the histories of `luck_test`: the bankroll figure's band of luck.

    Parameters
    ----------
    levels : tuple of float
        The quantiles; everything else as in `luck_test`.

    Returns
    -------
    DataFrame
        Index: `settled_at`, at most 400 times of settlement, the last one included; a column for each level,
        in money.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> ov.evaluation.luck_band(ledger, simulations=200).columns.tolist()
    [0.05, 0.5, 0.95]
    """
    again = _replay(ledger, stake, accounts, execution, commission, bankroll)
    if again is None:
        return pd.DataFrame(columns=list(levels), index=pd.DatetimeIndex([], tz="UTC", name="settled_at"))
    order = again.book.order
    points = np.flatnonzero(order.instant)
    points = points[np.unique(np.linspace(0, len(points) - 1, min(len(points), _POINTS)).round().astype(int))]
    _, paths = _play(again, simulations, seed, points)
    settled = again.book.bets.settled[order.settles[points]]
    at = pd.DatetimeIndex(settled.view("M8[us]"), tz="UTC", name="settled_at")
    return pd.DataFrame(np.quantile(paths, levels, axis=0).T, columns=list(levels), index=at)


class Draws(NamedTuple):
    """What a random number between 0 and 1 decides: arrays over bets, for `kernels.replay`."""

    draw: Whole  # number of the draw that each bet listens to
    n: int  # how many draws a history has
    low: Floats  # the two thresholds, and the profit per unit staked below, between and above them
    high: Floats
    below: Floats
    between: Floats
    above: Floats


@dataclass(frozen=True)
class _Replay:
    """A ledger's bets, ready to be played again."""

    book: Book
    draws: Draws
    profit: float
    expected: float
    turnover: float
    bets: int


def _replay(
    ledger: pd.DataFrame,
    stake: Staking | None,
    accounts: Iterable[Account] | None,
    execution: Execution | None,
    commission: Mapping[str, float],
    bankroll: float | None,
) -> _Replay | None:
    bets = ledger if stake is not None else drawable(ledger)
    if not can_be_drawn(bets).any():
        return None
    listed = None if accounts is None else list(accounts)
    terms = {"accounts": listed, "commission": commission}
    if stake is None:
        book, bets = _as_staked(bets, **terms)
    else:
        book, bets = _restaked(bets, stake, execution, _common_money(ledger, listed, bankroll), **terms)
    ways = ways_to_end(bets, book.bets)
    gains = [book.gain(ended)[0] for ended in ways.ends]
    redrawn = can_be_drawn(bets)
    worth = np.where(redrawn, _worth(book, ways), 0.0)
    expected = float((worth * bets["stake"].to_numpy(float)).sum())
    if expected > 0:
        gains = [gain - worth for gain in gains]
    return _Replay(
        book,
        Draws(ways.draw, ways.n, ways.chances[0], ways.chances[0] + ways.chances[1], *gains),
        float(bets["profit"].sum()),
        expected,
        float(bets["stake"].sum()),
        int(redrawn.sum()),
    )


def _common_money(ledger: pd.DataFrame, accounts: list[Account] | None, bankroll: float | None) -> float:
    if bankroll is not None:
        return bankroll
    start = bankroll_at_start(ledger)
    if np.isnan(start):
        raise ParameterError("this ledger does not say what the bankroll was at the start: give `bankroll`.")
    return start - sum(account.bankroll or 0.0 for account in accounts or [])


class _AsStaked:
    """The stakes that the ledger has."""

    def sizes(self, signals: pd.DataFrame) -> tuple[Floats, Floats]:
        return signals["stake"].to_numpy(float), np.zeros(len(signals))


def _as_staked(ledger: pd.DataFrame, **terms: Any) -> tuple[Book, pd.DataFrame]:
    """The book with the ledger's own stakes, and its bets in the order of the book."""
    bets = ledger_arrays(ledger)
    at_once = bets._replace(placed=np.zeros_like(bets.placed))
    book, order = make_book(ledger, at_once, stake=_AsStaked(), bankroll=1.0, **terms)
    book = replace(book, stakes=book.stakes._replace(fixed=True))
    return book, ledger if order is None else ledger.take(order)


def _restaked(
    ledger: pd.DataFrame, stake: Staking, execution: Execution | None, bankroll: float, **terms: Any
) -> tuple[Book, pd.DataFrame]:
    """The book with stakes sized again, and the ledger's bets in the order of the book."""
    bets = ledger_arrays(ledger)
    order = placement_order(ledger, bets.placed)
    if order is not None:
        ledger, bets = ledger.take(order), bets.take(order)
    accepted = ledger["accepted"].to_numpy(float) if "accepted" in ledger else None
    if accepted is not None and execution is None:
        execution = Execution()
    # stakes are sized at the price that was wanted, and pay at the price that was got
    wanted = ledger.assign(price=ledger["wanted_price"]) if "wanted_price" in ledger else ledger
    rules: dict[str, Any] = {"stake": stake, "bankroll": float(bankroll), "execution": execution, **terms}
    book, order = make_book(wanted, bets, accepted=accepted, **rules)
    ledger = ledger if order is None else ledger.take(order)
    _check_stakes(book, ledger)
    return book, ledger


def _check_stakes(book: Book, ledger: pd.DataFrame) -> None:
    stakes = book.play(book.gain(book.bets.ended)[0]).stake
    theirs = ledger["stake"].to_numpy(float)
    wrong = ~np.isclose(stakes, theirs, rtol=1e-6, atol=1e-6 * max(1.0, theirs.max()))
    if wrong.any():
        row = ledger.iloc[int(wrong.argmax())]
        raise ParameterError(
            f"stake is not the rule that made this ledger: on {row['event_id']} it bets "
            f"{stakes[wrong][0]:.2f}, the ledger {row['stake']:.2f}; give what the backtest was called with "
            "(rule, accounts, execution, commission, bankroll) and its whole ledger, or no stake."
        )


def _worth(book: Book, ways: Ways) -> Floats:
    """Expected profit per unit staked by the margin-free close, each bet as if alone in its market."""
    alone = replace(book, fee=book.terms.rate) if len(book.terms.rate) else book
    return sum(
        (chance * alone.gain(ended)[0] for chance, ended in zip(ways.chances, ways.ends, strict=True)),
        np.zeros(len(ways.draw)),
    )


def _play(again: _Replay, simulations: int, seed: int, points: Whole) -> tuple[Floats, Floats]:
    """Profit of each history, and its profit after these settlements, shape (simulations, points)."""
    from overround.betting.kernels import replay

    profits, paths = np.empty(simulations), np.empty((simulations, len(points)))
    key = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
    book = again.book
    fixed = book.order, book.terms, book.limits, book.stakes, again.draws, book.money, points, key

    def some(first: int, last: int) -> None:
        replay(*fixed, first, last, profits, paths)

    threads = cores() if simulations * len(again.draws.draw) > _ALONE else 1
    if threads == 1:
        some(0, simulations)
    else:
        bounds = np.linspace(0, simulations, 4 * threads + 1).astype(int).tolist()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(some, bounds[:-1], bounds[1:]))
    return profits, paths
