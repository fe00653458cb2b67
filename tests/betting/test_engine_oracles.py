"""Where peers do the same thing the ledgers agree, bet by bet: flat and Kelly stakes, one match a day."""

import warnings

import numpy as np
import pandas as pd
import pytest

from overround import Flat, Kelly, backtest
from tests.support.books import KICK_OFF, bet, bets, result, results

N = 400


@pytest.fixture(scope="module")
def matches() -> pd.DataFrame:
    """One match a day: price, what we think of it, and whether it won."""
    rng = np.random.default_rng(12)
    p = rng.uniform(0.25, 0.7, N)
    return pd.DataFrame(
        {
            "date": KICK_OFF.normalize().tz_localize(None) + pd.to_timedelta(np.arange(N), unit="D"),
            "odds": np.round(1.02 / p, 2),
            "other": 1.01,
            "prob": p,
            "rest": 1 - p,
            "won": (rng.random(N) < p).astype(int),
        }
    )


def ours(matches: pd.DataFrame, rule) -> pd.DataFrame:
    start = [day.tz_localize("UTC") + pd.Timedelta(hours=15) for day in matches["date"]]
    rows = [
        bet(
            f"m{i:03d}",
            price=row.odds,
            probability=row.prob,
            start=start[i],
            placed=str(start[i] - pd.Timedelta(hours=3))[:19],
        )
        for i, row in enumerate(matches.itertuples())
    ]
    ended = [result(f"m{i:03d}", row.won, 0) for i, row in enumerate(matches.itertuples())]
    return backtest(bets(*rows), results(*ended), stake=rule)


@pytest.mark.slow
@pytest.mark.parametrize("rule", [Flat(10), Kelly(0.25, 1.0), Kelly(1.0, 1.0)])
def test_penaltyblog_has_the_same_ledger(matches, rule):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import penaltyblog as pb

    def logic(context):
        fixture = context.fixture
        stake = 10.0
        if isinstance(rule, Kelly):
            share = pb.betting.kelly_criterion(fixture["odds"], fixture["prob"], rule.fraction).stake
            stake = max(share, 0.0) * context.account.current_bankroll
        context.account.place_bet(fixture["odds"], stake, int(fixture["won"]))

    peer = pb.backtest.Backtest(matches.copy(), "2025-01-01", "2030-01-01")
    peer.start(bankroll=1_000, logic=logic)
    theirs = pd.DataFrame(peer.account.history)

    ledger = ours(matches, rule)

    assert ledger["stake"].tolist() == pytest.approx(theirs["stake"].tolist(), rel=1e-9)
    assert ledger["profit"].tolist() == pytest.approx(theirs["profit"].tolist(), rel=1e-9)
    assert ledger["bankroll"].tolist() == pytest.approx(peer.account.tracker, rel=1e-9)
    assert (ledger["stake"] > 0).sum() > N / 2


@pytest.mark.slow
@pytest.mark.parametrize("rule", [Flat(10), Kelly(0.25, 0.05), Kelly(1.0, 1.0)])
def test_backtestbuddy_has_the_same_ledger(matches, rule):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from backtestbuddy.backtest.sport_backtest import PredictionBacktest
        from backtestbuddy.strategies.sport_strategies import FixedStake, KellyCriterion

    strategy = (
        FixedStake(amount=10)
        if isinstance(rule, Flat)
        else KellyCriterion(downscaling=rule.fraction, max_bet=rule.cap)
    )
    data = matches.assign(outcome=1 - matches["won"], pick=0)
    probabilities = ["prob", "rest"] if isinstance(rule, Kelly) else None
    peer = PredictionBacktest(
        data, ["odds", "other"], "outcome", "date", "pick", 1_000, strategy, probabilities
    )
    peer.run()
    theirs = peer.get_detailed_results()

    ledger = ours(matches, rule)

    assert ledger["stake"].tolist() == pytest.approx(theirs["bt_stake"].tolist(), rel=1e-9)
    assert ledger["profit"].tolist() == pytest.approx(theirs["bt_profit"].tolist(), rel=1e-9)
    assert ledger["bankroll"].tolist() == pytest.approx(theirs["bt_ending_bankroll"].tolist(), rel=1e-9)
    assert (ledger["stake"] > 0).sum() > N / 2
