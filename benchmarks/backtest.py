"""The whole backtest, from settlement to the full ledger, against peers and a bare compiled loop.

Peers do less: none of them knows open bets, voids or commission in one engine (vectorbt and backtesting.py
see a bet as a share bought at 1 and sold at its price or at nothing). Each is raced at the sizes that it can
bear. The last tables race the kernel alone, and the luck test's histories.
"""

import ctypes
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from numba import njit

from benchmarks.pairs import race
from overround import Account, Execution, Flat, Kelly, backtest, luck_test
from overround.betting.accounts import TAKEN
from overround.betting.book import ledger_arrays, make_book

SIZES = (10_000, 100_000, 1_000_000)
# largest book of each peer: beyond, a round takes minutes
BEARS = {
    "penaltyblog": 10_000,
    "backtestbuddy": 100_000,
    "backtesting.py": 100_000,
    "sports-betting": 1_000_000,
    "vectorbt": 1_000_000,
}
MODULES = {
    "penaltyblog": "penaltyblog",
    "backtestbuddy": "backtestbuddy",
    "backtesting.py": "backtesting",
    "sports-betting": "sportsbet",
    "vectorbt": "vectorbt",
}
FRACTION, CAP = 0.25, 0.05
Work = Callable[[], object]
# staking rules that are raced, each from a bankroll that lasts
RULES = (("flat", Flat(1), 1e9), ("Kelly", Kelly(FRACTION, CAP), 1_000.0))


@njit(cache=True)
def bare_loop(price: np.ndarray, won: np.ndarray, share: np.ndarray) -> float:
    """Bankroll after betting a share of it on one bet after the other."""
    bankroll = 1000.0
    for i in range(len(price)):
        stake = share[i] * bankroll
        bankroll += stake * (price[i] - 1) if won[i] else -stake
    return bankroll


def main() -> None:
    """Race flat and Kelly books of 10 k to 1 M bets, the kernel alone, and 10,000 histories of 10 k bets."""
    warnings.simplefilter("ignore")
    logging.disable()
    missing = [name for name, module in MODULES.items() if not find_spec(module)]
    if missing:
        print(f"Not raced, because not installed (pip install overround[peers]): {', '.join(missing)}.")
    for n in SIZES:
        signals, results = book(n)
        price, share = signals["price"].to_numpy(), np.full(n, 0.001)
        won = results["home_score"].to_numpy() > results["away_score"].to_numpy()
        for name, rule, bankroll in RULES:
            contenders: dict[str, Work] = {
                "overround": partial(backtest, signals, results, stake=rule, bankroll=bankroll),
                "overround, accounts and limits": partial(
                    backtest, signals, results, stake=rule, bankroll=bankroll, **limits()
                ),
                "bare loop": partial(bare_loop, price, won, share),
            }
            for peer, most in BEARS.items():
                if peer not in missing and n <= most:
                    contenders |= peer_work(peer, signals, won, name == "Kelly", bankroll)
            race(f"backtest of {n:,} bets, {name}", contenders, rounds=1 if n == 100_000 else 3)
    in_kept_memory("vectorbt" not in missing)
    kernel_alone()
    histories()


def in_kept_memory(vectorbt: bool) -> None:
    """Race the largest books again in memory that the process keeps: a new page costs more than its use."""
    if not hasattr(libc := ctypes.CDLL(None), "mallopt"):
        return
    trim_threshold, mmap_threshold = -1, -3
    for option in (trim_threshold, mmap_threshold):
        libc.mallopt(option, 2**31 - 1)
    signals, results = book(SIZES[-1])
    won = results["home_score"].to_numpy() > 0
    for name, rule, bankroll in RULES:
        contenders: dict[str, Work] = {
            "overround": partial(backtest, signals, results, stake=rule, bankroll=bankroll)
        }
        if vectorbt:
            contenders |= peer_work("vectorbt", signals, won, name == "Kelly", bankroll)
        race(
            f"backtest of {SIZES[-1]:,} bets, {name}, in memory that the process keeps",
            contenders,
            rounds=9,
            before=7,
        )


def limits() -> dict:
    """An account with limits, rounding and commission; its bookmaker refuses one bet in a hundred."""
    return {
        "accounts": [Account("b", max_stake=1e5, stake_step=0.01, commission=0.02)],
        "execution": Execution(refusal=0.01),
    }


def kernel_alone() -> None:
    """Race the compiled book, with order of settlement, limits and all columns, against the bare loop."""
    for n in SIZES:
        signals, results = book(n)
        won = results["home_score"].to_numpy() > 0
        price = signals["price"].to_numpy()
        ledger = backtest(signals, results, stake=Flat(1), bankroll=1e9)
        work: dict[str, Work] = {"bare loop": partial(bare_loop, price, won, np.full(n, 0.001))}
        for name, how in (("kernel", {"accounts": None, "execution": None}), ("kernel, limits", limits())):
            made, _ = make_book(
                signals, ledger_arrays(ledger), stake=Kelly(FRACTION, CAP), bankroll=1e6, commission={}, **how
            )
            gain, _ = made.gain(np.where(won, 1.0, -1.0))
            work[name] = partial(made.play, gain)
            assert len(TAKEN) > work[name]().taken.max()  # type: ignore[attr-defined]
        race(f"kernel alone, {n:,} bets", work, rounds=9)


def histories() -> None:
    """Time the luck test with stakes sized again: ten thousand seasons of 10 k bets."""
    signals, results = book(10_000)
    closing = signals[["event_id", "market", "line", "outcome", "bookmaker"]].assign(
        closing_price=signals["price"]
    )
    closing["closing_fair"] = 1 / signals["price"]
    rule = Kelly(FRACTION, CAP)
    ledger = backtest(signals, results, stake=rule, closing=closing)
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        luck_test(ledger, stake=rule, simulations=10_000)
        seconds.append(time.perf_counter() - began)
    print(
        "\nluck test, 10,000 histories of 10,000 bets, Kelly sized again: "
        f"{statistics.median(seconds[1:]):.2f} s wall "
        f"({min(seconds[1:]):.2f} to {max(seconds[1:]):.2f})"
    )
    print(f"load of the machine: {Path('/proc/loadavg').read_text().split()[0]}")


def peer_work(
    peer: str, signals: pd.DataFrame, won: np.ndarray, kelly: bool, bankroll: float
) -> dict[str, Work]:
    """A peer's work on the same bets, where it can size them so."""
    price, p = signals["price"].to_numpy(), signals["probability"].to_numpy()
    share = np.clip(FRACTION * (p * price - 1) / (price - 1), 0, CAP)
    if peer == "sports-betting" and kelly:
        return {}
    makers = {
        "penaltyblog": _penaltyblog,
        "backtestbuddy": _backtestbuddy,
        "backtesting.py": _backtesting,
        "vectorbt": _vectorbt,
        "sports-betting": _sports_betting,
    }
    return {peer: makers[peer](price, p, won, share if kelly else None, bankroll)}


def _days(n: int) -> pd.DatetimeIndex:
    return pd.Timestamp("2000-01-01") + pd.to_timedelta(np.arange(n) // 20, unit="h")


def _penaltyblog(
    price: np.ndarray, p: np.ndarray, won: np.ndarray, share: np.ndarray | None, bankroll: float
) -> Work:
    module = import_module("penaltyblog.backtest")
    import_module("tqdm").tqdm.monitor_interval = 0
    frame = pd.DataFrame(
        {
            "date": _days(len(price)),
            "odds": price,
            "share": 0.0 if share is None else share,
            "won": won.astype(int),
        }
    )

    def logic(context) -> None:  # type: ignore[no-untyped-def]
        row = context.fixture
        stake = 1.0 if share is None else row["share"] * context.account.current_bankroll
        context.account.place_bet(row["odds"], stake, row["won"])

    def work() -> object:
        test = module.Backtest(frame.copy(), "1990-01-01", "2100-01-01")
        test.start(bankroll=bankroll, logic=logic)
        return test.account.tracker

    return work


def _backtestbuddy(
    price: np.ndarray, p: np.ndarray, won: np.ndarray, share: np.ndarray | None, bankroll: float
) -> Work:
    engine, strategies = (
        import_module("backtestbuddy.backtest.sport_backtest"),
        import_module("backtestbuddy.strategies.sport_strategies"),
    )
    frame = pd.DataFrame(
        {
            "date": _days(len(price)),
            "a": price,
            "b": 1.01,
            "p": p,
            "q": 1 - p,
            "outcome": 1 - won.astype(int),
            "pick": 0,
        }
    )
    rule = (
        strategies.FixedStake(amount=1)
        if share is None
        else strategies.KellyCriterion(downscaling=FRACTION, max_bet=CAP)
    )

    def work() -> object:
        test = engine.PredictionBacktest(
            frame, ["a", "b"], "outcome", "date", "pick", bankroll, rule, ["p", "q"]
        )
        test.run()
        return test.get_detailed_results()

    return work


def _bars(price: np.ndarray, won: np.ndarray) -> np.ndarray:
    close = np.ones(2 * len(price))
    close[1::2] = np.where(won, price, 1e-9)
    return close


def _backtesting(
    price: np.ndarray, p: np.ndarray, won: np.ndarray, share: np.ndarray | None, bankroll: float
) -> Work:
    module = import_module("backtesting")
    close = _bars(price, won)
    bars = pd.DataFrame(
        dict.fromkeys(("Open", "High", "Low", "Close"), close),
        index=pd.date_range("1700-01-01", periods=len(close), freq="h"),
    )

    class Bets(module.Strategy):  # type: ignore[name-defined]
        def init(self) -> None:
            pass

        def next(self) -> None:
            bar = len(self.data) - 1
            if bar % 2:
                self.position.close()
            elif share is None:
                self.buy(size=1)
            elif share[bar // 2] > 0:
                self.buy(size=share[bar // 2])

    def work() -> object:
        return module.Backtest(bars, Bets, cash=bankroll, trade_on_close=True, finalize_trades=True).run()

    return work


def _vectorbt(
    price: np.ndarray, p: np.ndarray, won: np.ndarray, share: np.ndarray | None, bankroll: float
) -> Work:
    module = import_module("vectorbt")
    close, size = _bars(price, won), np.full(2 * len(price), -np.inf)
    size[::2] = 1.0
    if share is not None:
        size[::2], size[1::2] = share, -1.0

    def work() -> object:
        kind = {} if share is None else {"size_type": "percent"}
        return module.Portfolio.from_orders(
            close, size=size, price=close, direction="longonly", init_cash=bankroll, **kind
        ).value()

    return work


def _sports_betting(
    price: np.ndarray, p: np.ndarray, won: np.ndarray, share: np.ndarray | None, bankroll: float
) -> Work:
    evaluation = import_module("sportsbet.evaluation")
    selection = import_module("sklearn.model_selection")
    days = pd.DatetimeIndex(_days(len(price)), name="date", tz="UTC")
    known = pd.DataFrame({"p": p, "draw": 0.0, "q": 1 - p}, index=days)
    ended, odds = pd.DataFrame(index=days), pd.DataFrame(index=days)
    for market, happened, at in (("home_win", won, price), ("draw", False, 1.01), ("away_win", ~won, 1.01)):
        ended[f"{market}__postplay__0min"], odds[f"acme__{market}__preplay__0min"] = happened, at

    class Known(evaluation.BaseBettor):  # type: ignore[name-defined]
        def _fit(self, X, Y, O):  # noqa: E741
            return self

        def _predict_proba(self, X):
            return X[["p", "draw", "q"]].to_numpy(copy=True)

    # it tests on later parts only: two of them, and all but a hundredth of the bets
    folds = selection.TimeSeriesSplit(n_splits=2, test_size=int(0.495 * len(price)))
    return partial(
        evaluation.backtest, Known(init_cash=bankroll, stake=1.0), known, ended, odds, cv=folds, n_jobs=1
    )


def book(n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One bet on each of n matches, twenty a day."""
    rng = np.random.default_rng(1)
    p = rng.uniform(0.2, 0.7, n)
    start = pd.Timestamp("1990-01-01 15:00", tz="UTC") + pd.to_timedelta(np.arange(n) // 20, unit="h")
    start = start.astype("datetime64[us, UTC]")
    event = np.array([f"{i:016x}" for i in range(n)])
    same = {"competition": "L1", "season": "x"}
    signals = pd.DataFrame(
        {
            "event_id": event,
            "market": "h2h",
            "line": np.nan,
            "outcome": "home",
            "side": "back",
            "bookmaker": "b",
            "price": 1.01 / p,
            "probability": p,
            "edge": 0.01,
            "placed_at": start - pd.Timedelta(hours=2),
            "strategy": "s",
            "starts_at": start,
            **same,
        }
    )
    home = (rng.random(n) < p).astype(float)
    results = pd.DataFrame(
        {
            "event_id": event,
            "home_score": home,
            "away_score": 1 - home,
            "status": "final",
            "settled_at": pd.Series(pd.NaT, range(n), "datetime64[us, UTC]"),
            **same,
        }
    )
    return signals, results
