"""Parts of a ledger: they add up, and small ones do not shout."""

import numpy as np
import pandas as pd
import pytest

from overround import breakdown
from overround.errors import ParameterError
from overround.evaluation.segments import _shrunk
from tests.support.books import efficient_market


def in_parts(market, names, rng):
    return market.assign(bookmaker=rng.choice(names, len(market)))


def test_a_part_of_two_lucky_bets_does_not_shout_and_its_plain_yield_is_kept():
    market = efficient_market(400, seed=1)
    lucky = market[(market["result"] == "won") & (market["price"] > 4)].index[:2]
    ledger = market.assign(bookmaker=np.where(market.index.isin(lucky), "lucky", "usual"))

    table = breakdown(ledger, simulations=200)

    assert table.loc["lucky", "yield"] > 3
    assert abs(table.loc["lucky", "shrunk"]) < 0.5
    assert table.loc["lucky", "shrunk_low"] < 0


def test_a_part_that_lost_every_bet_is_not_certain_to_lose():
    market = efficient_market(400, seed=2)
    lost = market[(market["result"] == "lost") & (market["price"] > 4)].index[:3]
    ledger = market.assign(bookmaker=np.where(market.index.isin(lost), "unlucky", "usual"))

    row = breakdown(ledger, simulations=200).loc["unlucky"]

    assert row["yield"] == -1
    assert row["shrunk_high"] > 0


def test_large_parts_that_differ_keep_their_own_yield():
    rng = np.random.default_rng(3)
    ledger = in_parts(efficient_market(3_000, seed=3), ["good", "bad"], rng)
    better = (ledger["bookmaker"] == "good") & (ledger["result"] == "won")
    ledger = ledger.assign(profit=ledger["profit"] + np.where(better, 0.4 * ledger["price"], 0.0))

    table = breakdown(ledger, simulations=200)

    assert (table["shrunk"] - table["yield"]).abs().max() < 0.05
    assert table.loc["good", "shrunk_low"] > 0.2


@pytest.mark.slow
def test_shrunk_yields_are_nearer_to_the_truth_than_plain_ones_and_their_intervals_hold_it():
    rng = np.random.default_rng(4)
    plain, shrunk, inside = [], [], []
    for seed in range(8):
        ledger = in_parts(efficient_market(150, seed=seed), [f"b{i}" for i in range(20)], rng)
        table = breakdown(ledger, simulations=20)
        plain.append((table["yield"] ** 2).mean())
        shrunk.append((table["shrunk"] ** 2).mean())
        inside.append(((table["shrunk_low"] <= 0) & (table["shrunk_high"] >= 0)).mean())

    assert np.mean(shrunk) < 0.3 * np.mean(plain)  # the true yield of every part is 0
    assert np.mean(inside) >= 0.9


def test_shrinkage_is_that_of_dersimonian_and_laird_by_hand():
    y, v = np.array([0.12, -0.04, 0.04]), np.array([0.0016, 0.0032, 0.0064])

    shrunk, error = _shrunk(y, v, np.array([1.0, 1.0, 1.0]))

    # weights 625, 312.5, 156.25: mean 68.75 / 1093.75 = 0.0628571, Q = 625 x 0.0571429^2 + 312.5 x
    # 0.1028571^2 + 156.25 x 0.0228571^2 = 5.428571, t2 = (Q - 2) / (1093.75 - 512695.3125 / 1093.75) =
    # 3.428571 / 625
    t2 = 0.005485714
    assert shrunk.tolist() == pytest.approx(
        [0.04 + t2 / (t2 + one) * (two - 0.04) for one, two in zip(v, y, strict=True)]
    )
    assert (error**2 < v + t2).all()


def test_bands_of_price_and_several_columns_at_once():
    ledger = efficient_market(300, seed=5)

    bands = breakdown(ledger, "price_band", simulations=20)
    both = breakdown(ledger, ["season", "price_band"], simulations=20)

    assert bands["bets"].sum() == len(ledger)
    assert bands.loc["2 to 3", "bets"] == ((ledger["price"] > 2) & (ledger["price"] <= 3)).sum()
    pd.testing.assert_frame_equal(both.loc["price_band"], bands, check_names=False, check_index_type=False)
    assert both.loc[("season", "2425"), "bets"] == len(ledger)
    with pytest.raises(ParameterError, match="price_band"):
        breakdown(ledger, "colour")


def test_a_breakdown_of_nothing_is_empty():
    assert breakdown(efficient_market(10, seed=1).head(0)).empty


def test_the_parts_of_a_breakdown_add_up():
    ledger = efficient_market(100, seed=9).assign(
        bookmaker=lambda frame: np.where(np.arange(len(frame)) % 3 == 0, "a", "b")
    )

    parts = breakdown(ledger, "bookmaker", simulations=200)

    assert parts["profit"].sum() == pytest.approx(ledger["profit"].sum())
    assert parts["bets"].to_dict() == {"a": 100, "b": 200}
