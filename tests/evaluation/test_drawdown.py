"""The bankroll at the start is a fact of the ledger, whatever is done to the frame."""

import io

import numpy as np
import pandas as pd
import pytest

import overround as ov
from overround.evaluation.drawdown import bankroll_at_start, max_drawdown
from overround.figures import bankroll, drawdown


@pytest.fixture(scope="module")
def ledger():
    _, quotes, results = ov.example()
    signals = ov.value_signals(quotes, "sharp")
    return ov.backtest(signals, results, bankroll=750, closing=ov.closing_lines(quotes, "sharp"))


def from_csv(frame: pd.DataFrame) -> pd.DataFrame:
    text = io.StringIO(frame.to_csv(index=False))
    return pd.read_csv(text, parse_dates=["placed_at", "settled_at", "starts_at"])


def from_store(frame: pd.DataFrame, root) -> pd.DataFrame:
    store = ov.Store(root)
    store.append("ledgers", frame.assign(run_id="r"))
    return store.read("ledgers")


OPERATIONS = {
    "merge": lambda frame, _: frame.merge(pd.DataFrame({"event_id": frame["event_id"].unique(), "x": 1})),
    "concat": lambda frame, _: pd.concat([frame, frame.assign(strategy="again")], ignore_index=True),
    "query": lambda frame, _: frame.query("bookmaker == 'soft_1'"),
    "head": lambda frame, _: frame.head(3),
    "tail": lambda frame, _: frame.tail(3),
    "CSV": lambda frame, _: from_csv(frame),
    "store": from_store,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_start_survives(ledger, tmp_path, name):
    after = OPERATIONS[name](ledger, tmp_path / "store")
    after.attrs = {}

    assert len(after) > 0
    assert bankroll_at_start(after) == 750.0


@pytest.mark.parametrize("name", ["merge", "CSV", "store"])
def test_figures_of_merit_are_the_same_after(ledger, tmp_path, name):
    after = OPERATIONS[name](ledger, tmp_path / "store")

    expected = ov.evaluate(ledger, simulations=200).loc[["roi", "turnover", "max_drawdown", "ruin"], "value"]
    got = ov.evaluate(after, simulations=200).loc[expected.index, "value"]
    assert got.tolist() == pytest.approx(expected.tolist(), rel=1e-12)


def test_a_merged_ledger_is_drawn_from_its_start_inside_its_band_of_luck(ledger):
    merged = OPERATIONS["merge"](ledger, None)

    assert bankroll(merged).alt == bankroll(ledger).alt
    assert bankroll(merged).alt.startswith("Bankroll over time: from 750 to ")
    assert drawdown(merged).alt == drawdown(ledger).alt


def test_a_whole_ledger_without_the_column_says_it_by_its_path(ledger):
    older = ledger.drop(columns="bankroll_at_start").sample(frac=1, random_state=1)
    older.attrs = {}

    assert bankroll_at_start(older.sort_index()) == pytest.approx(750, rel=1e-12)
    assert np.isnan(bankroll_at_start(older.sort_index().tail(5).iloc[::2]))


def test_ledgers_of_two_starts_have_none_and_are_drawn_without_one(ledger):
    both = pd.concat([ledger, ledger.assign(bankroll_at_start=10.0)], ignore_index=True)

    assert np.isnan(bankroll_at_start(both))
    assert np.isnan(max_drawdown(both))
    assert bankroll(both).alt.endswith("does not say its bankroll at the start.")


def test_a_ledger_without_bets_never_falls(ledger):
    assert max_drawdown(ledger.head(0)) == 0
    assert np.isnan(bankroll_at_start(pd.DataFrame(ledger.head(0).to_dict("list"))))
