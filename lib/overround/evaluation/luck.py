"""How easily luck alone would have done the same: results re-drawn from the market's own margin-free closing prices."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats
from overround.betting.accounts import Account, Execution
from overround.betting.book import Book, make_book, placement_order
from overround.betting.settlement import RESULTS, kinds, picks
from overround.betting.staking import Staking
from overround.betting.text_columns import coded
from overround.errors import ParameterError
from overround.evaluation.drawdown import bankroll_at_start
from overround.grouping import group_codes
from overround.measure.procfs import cores
from overround.schema import COMMISSION
from overround.times import microseconds

# so many places on a bankroll figure are more than it has pixels
_POINTS = 400
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

    Results are drawn anew from the market's own margin-free closing probabilities: one number between 0 and 1
    for the goals of a match and one for who wins by how much, which decide all bets on it, so that they stay
    dependent. Bets and prices are those of the ledger. Without `stake` so are the stakes, and bets without a
    closing probability and void bets are left out. With the rule that made the ledger, every history is
    played from the first bet: stakes are sized on the bankroll of that history, in the order of time, under
    the same limits; bets that cannot be drawn anew keep their result.

    Where the close says that the prices were on the whole better than fair, that advantage is taken out of
    the histories: it is an edge, not luck. Each unit staked then pays less by what the close says that it was
    worth, so every bet of every history is a fair one, whatever the stakes; otherwise the histories lose the
    margin. So histories earn nothing or lose on average.

    A closing probability does not tell how often a whole line pushes, or a quarter line ends half won or half
    lost. That is as frequent in the histories as among these bets (totals and handicaps, whole and quarter
    lines apart), and the rest is divided so that the closing probability's own price is fair.

    Parameters
    ----------
    ledger : DataFrame
        What `backtest` returned, or what the store has of it.
    simulations, seed : int
        Histories, and the seed of their random numbers; the same whatever the number of threads.
    stake, accounts, execution, commission
        What the backtest was called with.
    bankroll : float, optional
        Money at the start, where the ledger does not say it.

    Returns
    -------
    dict
        p: (1 + histories at least as good) / (1 + simulations); profit: what the bets earned; expected: what
        the close says they were worth; bets: how many were drawn anew; restaked: whether the stakes were
        sized again.

    Raises
    ------
    ParameterError
        With a `stake` that does not give the ledger's own stakes.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> ledger = ov.backtest(signals, results, closing=ov.closing_lines(quotes, "sharp"))
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
    """Quantiles of the running profit in the histories of `luck_test`: the band that luck alone fills on the bankroll figure.

    Parameters
    ----------
    levels : tuple of float
        The quantiles; everything else as in `luck_test`.

    Returns
    -------
    DataFrame
        Index: `settled_at`, at most 400 times of settlement with the last of them; one column a level, in
        money.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> ledger = ov.backtest(signals, results, closing=ov.closing_lines(quotes, "sharp"))
    >>> ov.evaluation.luck_band(ledger, simulations=200).columns.tolist()
    [0.05, 0.5, 0.95]
    """
    again = _replay(ledger, stake, accounts, execution, commission, bankroll)
    if again is None:
        return pd.DataFrame(columns=list(levels), index=pd.DatetimeIndex([], tz="UTC", name="settled_at"))
    points = np.flatnonzero(again.book.order[4])
    points = points[np.unique(np.linspace(0, len(points) - 1, min(len(points), _POINTS)).round().astype(int))]
    _, paths = _play(again, simulations, seed, points)
    at = pd.DatetimeIndex(
        again.settled[again.book.settles[points]].view("M8[us]"), tz="UTC", name="settled_at"
    )
    return pd.DataFrame(np.quantile(paths, levels, axis=0).T, columns=list(levels), index=at)


@dataclass(frozen=True)
class _Replay:
    """A ledger's bets, ready to be played again."""

    book: Book
    draws: tuple  # of `kernels.histories`
    settled: NDArray[np.int64]
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
    if stake is None:
        book, bets = _as_staked(bets, listed, commission)
    else:
        book, bets = _restaked(
            bets, stake, listed, execution, commission, _common_money(ledger, listed, bankroll)
        )
    ended = how_ended(bets, book.lay)
    drawn, chances, categories = drawn_categories(bets, ended)
    gains = [book.gain(category)[0] for category in categories]
    redrawn = can_be_drawn(bets)
    worth = np.where(redrawn, _worth(book, chances, categories), 0.0)
    expected = float((worth * bets["stake"].to_numpy(float)).sum())
    if expected > 0:
        gains = [gain - worth for gain in gains]
    draw, n = drawn
    low, high = chances[0], chances[0] + chances[1]
    return _Replay(
        book,
        (draw, low, high, *gains, n),
        microseconds(bets["settled_at"]),
        float(bets["profit"].sum()),
        expected,
        float(bets["stake"].sum()),
        int(redrawn.sum()),
    )


def drawable(ledger: pd.DataFrame) -> pd.DataFrame:
    """The bets whose results can be drawn, and that have money on them."""
    return ledger[can_be_drawn(ledger) & (ledger["stake"].to_numpy() > 0)]


def can_be_drawn(ledger: pd.DataFrame) -> NDArray[np.bool_]:
    """Which bets have a closing probability and are not void."""
    return ledger["closing_fair"].notna().to_numpy() & (ledger["result"] != "void").to_numpy(bool)


def _common_money(ledger: pd.DataFrame, accounts: list[Account] | None, bankroll: float | None) -> float:
    if bankroll is not None:
        return bankroll
    start = bankroll_at_start(ledger)
    if np.isnan(start):
        raise ParameterError("this ledger does not say what the bankroll was at the start: give `bankroll`.")
    own = sum(account.bankroll or 0.0 for account in accounts or [])
    return start - own


def _as_staked(
    bets: pd.DataFrame, accounts: list[Account] | None, commission: Mapping[str, float]
) -> tuple[Book, pd.DataFrame]:
    price, settled = bets["price"].to_numpy(float), microseconds(bets["settled_at"])
    book, order = make_book(
        bets,
        price,
        np.zeros(len(bets), np.int64),
        settled,
        stake=_AsStaked(),
        bankroll=1.0,
        commission=commission,
        accounts=accounts,
        execution=None,
        accepted=None,
    )
    return replace(book, stakes=(*book.stakes[:3], True)), bets if order is None else bets.take(order)


def _restaked(
    bets: pd.DataFrame,
    stake: Staking,
    accounts: list[Account] | None,
    execution: Execution | None,
    commission: Mapping[str, float],
    bankroll: float,
) -> tuple[Book, pd.DataFrame]:
    order = placement_order(bets)
    bets = bets if order is None else bets.take(order)
    accepted = bets["accepted"].to_numpy(float) if "accepted" in bets else None
    # stakes are sized at the price that was wanted, and pay at the price that was got
    wanted = bets if "wanted_price" not in bets else bets.assign(price=bets["wanted_price"])
    book, order = make_book(
        wanted,
        bets["price"].to_numpy(float),
        microseconds(bets["placed_at"]),
        microseconds(bets["settled_at"]),
        stake=stake,
        bankroll=float(bankroll),
        commission=commission,
        accounts=accounts,
        accepted=accepted,
        execution=execution if accepted is None or execution is not None else Execution(),
    )
    bets = bets if order is None else bets.take(order)
    _check_stakes(book, bets)
    return book, bets


def _check_stakes(book: Book, bets: pd.DataFrame) -> None:
    from overround.betting.kernels import run_book

    gain, _ = book.gain(how_ended(bets, book.lay))
    stakes = run_book(book.order, book.terms, book.limits, book.stakes, gain, book.money)[0]
    theirs = bets["stake"].to_numpy(float)
    wrong = ~np.isclose(stakes, theirs, rtol=1e-6, atol=1e-6 * max(1.0, theirs.max()))
    if wrong.any():
        row = bets.iloc[int(wrong.argmax())]
        raise ParameterError(
            f"stake is not the rule that made this ledger: on {row['event_id']} it bets {stakes[wrong][0]:.2f}, "
            f"the ledger {row['stake']:.2f}; give what the backtest was called with "
            "(rule, accounts, execution, commission, bankroll) and its whole ledger, or no stake."
        )


class _AsStaked:
    """The stakes that the ledger has."""

    def sizes(self, signals: pd.DataFrame) -> tuple[Floats, Floats]:
        return signals["stake"].to_numpy(float), np.zeros(len(signals))


def how_ended(bets: pd.DataFrame, lay: NDArray[np.bool_]) -> Floats:
    """How each selection ended, from the result of its bet."""
    mine = np.array([-1.0, -0.5, 0.0, 0.5, 1.0, np.nan])[coded(bets["result"], RESULTS)]
    return np.where(lay, -mine, mine)


def drawn_categories(
    bets: pd.DataFrame, ended: Floats
) -> tuple[tuple[NDArray[np.int64], int], list[Floats], list[Floats]]:
    """What a bet's random number decides.

    Returns the number of the draw that each bet listens to and how many there are; the chances that the
    number is in its lowest, middle and highest part; and how the selection ends in each part.
    """
    kind, picked, line = kinds(bets["market"]), picks(bets["outcome"]), bets["line"].to_numpy(float)
    p = bets["closing_fair"].to_numpy(float)
    drawn, n = group_codes(
        pd.DataFrame({"event_id": bets["event_id"].to_numpy(), "total": kind == 1}), ("event_id", "total")
    )
    middle, ends = _middle(kind, picked, line, ended)
    # the price that belongs to the closing probability is fair: chance to win + what the middle wins = p x
    # (all that is not returned)
    wins = p * (1 - np.where(ends == 0, middle, middle / 2)) - np.where(ends > 0, middle / 2, 0.0)
    wins = np.clip(wins, 0.0, 1 - middle)
    first, draw = picked == 0, picked == 1
    below_draw = _below_draw(drawn, n, kind, picked, p)
    low = np.where(draw, below_draw, np.where(first, wins, 1 - wins - middle))
    between = np.where(draw, np.minimum(p, 1 - below_draw), middle)
    parts = [np.where(first, 1.0, -1.0), np.where(draw, 1.0, ends), np.where(first | draw, -1.0, 1.0)]
    known = can_be_drawn(bets)
    chances = [np.where(known, low, 1.0), np.where(known, between, 0.0)]
    chances.append(1 - chances[0] - chances[1])
    return (drawn, n), chances, [np.where(known, part, ended) for part in parts]


def _middle(kind: NDArray, picked: NDArray, line: Floats, ended: Floats) -> tuple[Floats, Floats]:
    """Chance that a line ends on its number, as frequent as among these bets, and how the selection ends then."""
    rest = np.mod(np.nan_to_num(line), 1.0)
    of_quarter = np.select([np.abs(rest - 0.25) < 1e-9, np.abs(rest - 0.75) < 1e-9], [-0.5, 0.5], 0.0)
    # a total of 2.25 loses half of "over" at two goals; a handicap of +0.25 wins half of "home" at a draw
    ends = of_quarter * np.where(kind == 2, -1.0, 1.0) * np.where(picked == 0, 1.0, -1.0)
    chance = np.zeros(len(kind))
    for market in (1, 2):
        for some in ((kind == market) & (rest < 1e-9), (kind == market) & (of_quarter != 0)):
            decided = some & ~np.isnan(ended)
            if decided.any():
                chance[some] = (np.abs(ended[decided]) < 0.75).mean()
    return chance, ends


def _below_draw(match: NDArray[np.int64], n: int, kind: NDArray, picked: NDArray, p: Floats) -> Floats:
    """Where a draw begins: above the home win where that is known, below the away win, or as much below as above."""
    home, away = np.full(n, np.nan), np.full(n, np.nan)
    three_way = (kind == 0) & ~np.isnan(p)
    home[match[three_way & (picked == 0)]] = p[three_way & (picked == 0)]
    away[match[three_way & (picked == 2)]] = p[three_way & (picked == 2)]
    below = np.where(np.isnan(home[match]), 1 - away[match] - p, home[match])
    return np.clip(np.where(np.isnan(below), (1 - p) / 2, below), 0.0, 1.0)


def _worth(book: Book, chances: list[Floats], categories: list[Floats]) -> Floats:
    """Expected profit per unit staked by the market's margin-free close; bets on one exchange market as if each was alone."""
    alone = replace(book, fee=book.terms[2]) if len(book.terms[2]) else book
    return sum(
        (chance * alone.gain(ended)[0] for chance, ended in zip(chances, categories, strict=True)),
        np.zeros(len(book.lay)),
    )


def _play(again: _Replay, simulations: int, seed: int, points: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Profit of each history, and its profit after these settlements, shape (simulations, points)."""
    from overround.betting.kernels import histories

    profits, paths = np.empty(simulations), np.empty((simulations, len(points)))
    key = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
    book = again.book

    def some(first: int, last: int) -> None:
        histories(
            book.order,
            book.terms,
            book.limits,
            book.stakes,
            again.draws,
            book.money,
            points,
            key,
            first,
            last,
            profits,
            paths,
        )

    threads = cores() if simulations * len(book.lay) > _ALONE else 1
    if threads == 1:
        some(0, simulations)
    else:
        bounds = np.linspace(0, simulations, 4 * threads + 1).astype(int).tolist()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(some, bounds[:-1], bounds[1:]))
    return profits, paths
