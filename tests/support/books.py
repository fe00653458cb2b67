"""Small invented books of prices and results from which the tests build what they need."""

import math

import numpy as np
import pandas as pd

from overround import Account, Execution, backtest
from tests.support.reference_book import Case

KICK_OFF = pd.Timestamp("2025-03-01 15:00", tz="UTC")


def quote(
    event="m1",
    bookmaker="acme",
    outcome="home",
    price=2.0,
    *,
    market="h2h",
    line=None,
    phase="early",
    at=None,
    start=KICK_OFF,
) -> dict:
    return {
        "event_id": event,
        "bookmaker": bookmaker,
        "market": market,
        "line": line,
        "outcome": outcome,
        "phase": phase,
        "observed_at": pd.Timestamp(at, tz="UTC") if at else pd.NaT,
        "price": price,
        "collected_at": pd.Timestamp(at or "2025-03-02", tz="UTC"),
        "source": "test",
        "competition": "L1",
        "season": "2425",
        "starts_at": start,
    }


def three_way(event="m1", bookmaker="acme", prices=(2.0, 3.5, 4.0), **more) -> list[dict]:
    return [
        quote(event, bookmaker, outcome, price, **more)
        for outcome, price in zip(("home", "draw", "away"), prices, strict=True)
    ]


def quotes(*groups: list[dict] | dict) -> pd.DataFrame:
    rows = [row for group in groups for row in (group if isinstance(group, list) else [group])]
    frame = pd.DataFrame(rows).astype({"line": float})
    return frame.assign(
        **{
            name: pd.to_datetime(frame[name], utc=True).astype("datetime64[us, UTC]")
            for name in ("observed_at", "starts_at")
        }
    )


def result(event="m1", home=1, away=0, *, status="final", settled_at=None) -> dict:
    return {
        "event_id": event,
        "home_score": float("nan" if home is None else home),
        "away_score": float("nan" if away is None else away),
        "status": status,
        "settled_at": pd.Timestamp(settled_at, tz="UTC") if settled_at else pd.NaT,
        "competition": "L1",
        "season": "2425",
    }


def results(*rows: dict) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows))
    return frame.assign(
        settled_at=pd.to_datetime(frame["settled_at"], utc=True).astype("datetime64[us, UTC]")
    )


def bet(
    event="m1",
    outcome="home",
    price=2.0,
    *,
    placed="2025-03-01 12:00",
    start=KICK_OFF,
    probability=0.55,
    market="h2h",
    line=None,
    bookmaker="acme",
    side="back",
) -> dict:
    return {
        "event_id": event,
        "market": market,
        "line": float("nan") if line is None else line,
        "outcome": outcome,
        "side": side,
        "bookmaker": bookmaker,
        "price": price,
        "probability": probability,
        "edge": probability * price - 1,
        "placed_at": pd.Timestamp(placed, tz="UTC"),
        "strategy": "test",
        "starts_at": pd.Timestamp(start),
        "competition": "E0",
        "season": "2425",
    }


def bets(*rows: dict) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows))
    return frame.astype({"placed_at": "datetime64[us, UTC]", "starts_at": "datetime64[us, UTC]"})


def season(
    n: int, *, seed: int, edge: float = 0.0, per_day: int = 5
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Bets, results and closing lines of n matches: true probabilities known, prices `edge` better than
    fair.
    """
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([6, 3.5, 4], n)
    outcome = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1)
    start = KICK_OFF + pd.to_timedelta(np.arange(n) // per_day, unit="D")
    events = [f"m{i:05d}" for i in range(n)]
    wanted = bets(
        *(
            bet(
                e,
                "home",
                (1 + edge) / q[0],
                placed=str(s - pd.Timedelta(hours=3))[:19],
                start=s,
                probability=min((1 + edge) * q[0], 0.999),
            )
            for e, q, s in zip(events, p, start, strict=True)
        )
    )
    ended = results(*(result(e, int(o == 0), int(o == 2)) for e, o in zip(events, outcome, strict=True)))
    closing = wanted[["event_id", "market", "line", "outcome", "bookmaker"]].assign(
        closing_price=wanted["price"], closing_fair=p[:, 0]
    )
    return wanted, ended, closing


def efficient_market(n: int, *, seed: int, per_day: int = 5, margin: float = 0.0) -> pd.DataFrame:
    """Ledger of a unit on every outcome of n matches whose closing prices are right: fair but for the margin,
    so no bet has an edge.
    """
    from overround import Flat, backtest

    rng = np.random.default_rng(seed)
    p = rng.dirichlet([6, 3.5, 4], n)
    outcome = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1)
    start = KICK_OFF + pd.to_timedelta(np.arange(n) // per_day, unit="D")
    one = bets(bet(placed="2025-03-01 12:00"))
    wanted = (
        one.loc[np.zeros(3 * n, int)]
        .reset_index(drop=True)
        .assign(
            event_id=np.repeat([f"m{i:05d}" for i in range(n)], 3),
            outcome=np.tile(["home", "draw", "away"], n),
            price=1 / (p.ravel() * (1 + margin)),
            probability=p.ravel(),
            edge=1 / (1 + margin) - 1,
            starts_at=np.repeat(start, 3),
            placed_at=np.repeat(start - pd.Timedelta(hours=3), 3),
        )
    )
    wanted = wanted[wanted["price"] > 1].astype(
        {"placed_at": "datetime64[us, UTC]", "starts_at": "datetime64[us, UTC]"}
    )
    ended = results(*(result(f"m{i:05d}", int(o == 0), int(o == 2)) for i, o in enumerate(outcome)))
    closing = wanted[["event_id", "market", "line", "outcome", "bookmaker"]].assign(
        closing_price=wanted["price"], closing_fair=wanted["probability"]
    )
    return backtest(wanted, ended, stake=Flat(1), bankroll=1_000_000, closing=closing)


def noisy_quotes(
    n: int, books: int, *, seed: int, margin: float = 0.05, noise: float = 0.04, per_day: int = 5
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Early and closing three-way quotes of n matches and their results: each bookmaker adds its margin to
    the truth and errs on its own.

    With `market_average` and `market_maximum`, as football-data.co.uk has them; the first bookmaker does not
    err.
    """
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([6, 3.5, 4], n)
    error = np.exp(rng.normal(0, noise, (books, n, 3)))
    error[0] = 1
    price = np.maximum(1 / (p * (1 + margin)) * error, 1.01)
    price = np.concatenate([price, price.mean(axis=0)[None], price.max(axis=0)[None]])
    names = np.array([f"b{i}" for i in range(books)] + ["market_average", "market_maximum"], dtype=object)
    start = KICK_OFF + pd.to_timedelta(np.arange(n) // per_day, unit="D")
    shape = price.shape
    one = quotes(quote())
    frame = (
        one.loc[np.zeros(price.size, int)]
        .reset_index(drop=True)
        .assign(
            event_id=np.tile(np.repeat([f"m{i:05d}" for i in range(n)], 3), shape[0]),
            bookmaker=np.repeat(names, 3 * n),
            outcome=np.tile(["home", "draw", "away"], n * shape[0]),
            price=price.ravel(),
            starts_at=np.tile(np.repeat(start, 3), shape[0]),
        )
    )
    frame = pd.concat([frame, frame.assign(phase="close")], ignore_index=True)
    outcome = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1)
    ended = results(*(result(f"m{i:05d}", int(o == 0), int(o == 2)) for i, o in enumerate(outcome)))
    return frame.astype({"starts_at": "datetime64[us, UTC]"}), ended


class Given:
    """The stakes that the bets ask for."""

    def __init__(self, floor):
        self.floor = floor

    def sizes(self, signals):
        return signals["amount"].to_numpy(float), signals["share"].to_numpy(float)


def whole(case: Case, *, price_cut: float = 0.0) -> pd.DataFrame:
    """The book through `backtest`; bets are told apart by their strategy."""

    def hour(number):
        return KICK_OFF + pd.Timedelta(hours=number)

    rows, matches = [], {}
    for i, b in enumerate(case.bets):
        price = 1 + (b["price"] - 1) * (1 - price_cut)
        row = bet(
            b["event"],
            b["outcome"],
            price,
            placed=str(hour(b["placed"]))[:19],
            start=hour(b["start"]),
            market=b["market"],
            line=b["line"],
            bookmaker=b["bookmaker"],
            side=b["side"],
        )
        rows.append({**row, "strategy": str(i), "amount": b["amount"], "share": b["share"]})
        away = None if b["home"] is None else b["away"]
        matches[b["event"]] = result(b["event"], b["home"], away, settled_at=str(hour(b["settled"]))[:19])
    accounts = None
    if case.accounts is not None:
        accounts = [
            Account(
                name,
                rule.bankroll,
                rule.most,
                rule.payout,
                rule.minimum,
                rule.step,
                rule.fee or rule.tax,
                "turnover" if rule.tax else "winnings",
            )
            for name, rule in case.accounts.items()
        ]
    execution = Execution(size=case.size, cut_to_size=case.cut_to_size) if case.size < math.inf else None
    return backtest(
        bets(*rows),
        results(*matches.values()),
        stake=Given(case.floor),
        bankroll=case.bankroll,
        accounts=accounts,
        execution=execution,
        commission=case.fees,
    )
