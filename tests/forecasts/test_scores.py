"""Scores and calibration: by hand, against independent formulas, and on simulated markets whose truth is
known.
"""

import re

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from overround import fair_probabilities, figures
from overround.errors import ParameterError, UnknownMethod
from overround.forecasts import (
    calibration_table,
    early_and_close,
    longshot_bias,
    probability_scores,
    reliability,
    score_table,
)
from overround.prices import add_margin
from overround.stats import clustered_variance, holm
from tests.support.books import KICK_OFF, quote, quotes, result, results, three_way

TRIO = ["home", "draw", "away"]


def market(
    n=3_000, *, seed=1, margin=0.06, method="power", noise=0.0, per_day=8, shared=0.0, seasons=2
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Prices made from the true probabilities, some of them with noise, and results drawn from the truth.

    `shared` is the chance that a match has the luck of its day instead of its own. Seasons follow each other
    and share no day.
    """
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet([3.0, 1.7, 2.0], n) * 0.94 + 0.02
    day = np.arange(n) // per_day
    luck = np.where(rng.random(n) < shared, rng.random(day[-1] + 1)[day], rng.random(n))
    ended = (luck[:, None] > truth.cumsum(axis=1)).sum(axis=1)
    events = np.array([f"m{i:05d}" for i in range(n)])
    books, part = [], (np.arange(n) * seasons // n).astype(str)
    whim = rng.standard_normal((day[-1] + 1, 3))[day]  # twin errs the same way all day
    for name, error in (
        ("sharp", 0.0),
        ("twin", 0.05 * whim),
        ("soft", noise * rng.standard_normal(truth.shape)),
    ):
        said = truth * np.exp(error)
        prices = add_margin(said / said.sum(axis=1, keepdims=True), margin, method)
        books.append(
            pd.DataFrame(
                {
                    "event_id": np.repeat(events, 3),
                    "bookmaker": name,
                    "market": "h2h",
                    "line": np.nan,
                    "outcome": np.tile(TRIO, n),
                    "phase": "close",
                    "observed_at": pd.NaT,
                    "price": prices.ravel(),
                    "season": np.repeat(part, 3),
                    "starts_at": np.repeat(KICK_OFF + pd.to_timedelta(day, unit="D"), 3),
                }
            )
        )
    scores = pd.DataFrame(
        {"event_id": events, "home_score": (ended == 0) * 2.0 + 1, "away_score": (ended == 2) * 2.0 + 1}
    )
    return pd.concat(books, ignore_index=True), scores


def one(prices: pd.DataFrame, bookmaker: str) -> pd.DataFrame:
    return prices[prices["bookmaker"] == bookmaker]


# --- scores


def test_scores_of_a_three_way_and_of_a_two_way_market_by_hand():
    rows = quotes(
        three_way(prices=(2.0, 4.0, 4.0)),
        quote(outcome="over", price=1.25, market="totals", line=2.5),
        quote(outcome="under", price=5.0, market="totals", line=2.5),
    )

    table = score_table(rows, results(result("m1", 1, 1)), ["multiplicative"], reference="acme").set_index(
        "market"
    )

    # 1X2 0.5, 0.25, 0.25 and a draw: 0.25 + 0.5625 + 0.0625; ln 4; 2 bits; (0.5**2 + 0.25**2) / 2
    shown = ["matches", "overround", "brier", "log_loss", "ignorance", "rps"]
    assert table.loc["h2h", shown].tolist() == pytest.approx([1, 1.0, 0.875, np.log(4), 2.0, 0.15625])
    # over 0.8, under 0.2, and two goals: 2 x 0.64; ln 5; log2 5; 0.64
    assert table.loc["totals", shown].tolist() == pytest.approx([1, 1.0, 1.28, np.log(5), np.log2(5), 0.64])


def test_scores_are_those_of_penaltyblog():
    from penaltyblog.metrics import ignorance_score, multiclass_brier_score, rps_average

    prices, ended = market(400)
    row = score_table(prices, ended, ["shin"], reference="sharp").set_index("bookmaker").loc["soft"]

    p = fair_probabilities(one(prices, "soft"), "shin")["fair"].to_numpy(copy=True).reshape(-1, 3)
    won = (1 - np.sign(ended["home_score"] - ended["away_score"])).to_numpy(int)
    assert row["brier"] == pytest.approx(multiclass_brier_score(p, won), abs=1e-9)
    assert row["rps"] == pytest.approx(rps_average(p, won), abs=1e-9)
    assert row["ignorance"] == pytest.approx(ignorance_score(p, won), abs=1e-9)


def test_both_tables_say_the_same():
    prices, ended = market(400, noise=0.3)

    short = probability_scores(fair_probabilities(prices, "power"), ended, "sharp")
    long = score_table(prices, ended, ["power"], reference="sharp").set_index("bookmaker")

    pd.testing.assert_frame_equal(short, long[short.columns], rtol=1e-9)


def test_pushes_halves_broken_markets_and_matches_without_a_score_are_left_out():
    def total(event, line, over=1.9, under=1.9):
        return [
            quote(event, outcome="over", price=over, market="totals", line=line),
            quote(event, outcome="under", price=under, market="totals", line=line),
        ]

    rows = quotes(
        total("m1", 2.0),
        total("m1", 2.25),
        total("m1", 2.5),
        total("m2", 2.5),
        total("m3", 3.5)[:1],
        three_way("m1", "whole"),
        three_way("m1", "no away")[:2],
        three_way("m1", "no draw")[::2],
    )

    table = score_table(
        rows,
        results(result("m1", 1, 1), result("m2", None, None), result("m3", 4, 4)),
        ["power"],
        reference="acme",
    )

    assert table.set_index(["market", "bookmaker"])["matches"].to_dict() == {
        ("totals", "acme"): 1,
        ("h2h", "whole"): 1,
    }


def test_a_tie_decides_no_two_way_market():
    rows = quotes(
        [
            quote("m1", outcome="home"),
            quote("m1", outcome="away"),
            quote("m2", outcome="home"),
            quote("m2", outcome="away"),
        ]
    )

    table = score_table(rows, results(result("m1", 1, 1), result("m2", 0, 3)), ["power"], reference="acme")

    assert table[["matches", "log_loss"]].to_numpy().tolist() == [[1, pytest.approx(np.log(2))]]


def test_the_first_and_the_last_snapshot_before_kick_off_are_early_and_close():
    times = ["2025-02-28 10:00", "2025-03-01 10:00", "2025-03-01 14:00", "2025-03-01 15:30"]
    rows = quotes(
        *(three_way(prices=(2.0 + i, 3.5, 4.0), phase="snapshot", at=at) for i, at in enumerate(times)),
        three_way("m2", prices=(9.0, 3.5, 4.0)),
    )

    both = early_and_close(rows)

    home = both[both["outcome"] == "home"].set_index(["event_id", "phase"])["price"]
    assert home.to_dict() == {("m1", "early"): 2.0, ("m1", "close"): 4.0, ("m2", "early"): 9.0}
    assert len(both) == 9


def test_reference_can_be_a_bookmaker_the_consensus_a_method_or_a_phase():
    prices = {"a": (2.0, 4.0, 4.0), "b": (2.5, 3.2, 3.5), "c": (3.0, 3.0, 3.0), "d": (1.6, 5.0, 5.0)}
    rows = quotes(
        *(three_way("m1", name, odds, phase="close") for name, odds in prices.items()),
        three_way("m1", "a", (2.2, 3.6, 4.0)),
    )
    ended = results(result("m1", 1, 0))

    def gap(reference, method="multiplicative", phase="close"):
        table = score_table(rows, ended, ["multiplicative", "power"], reference=reference)
        return table.set_index(["phase", "bookmaker", "method"])["gap"][phase, "a", method]

    p = {name: (1 / odds[0]) / sum(1 / odd for odd in odds) for name, odds in prices.items()}
    assert gap("b") == pytest.approx(np.log(p["b"] / p["a"]))
    assert gap("consensus") == pytest.approx(np.log((p["b"] + p["c"] + p["d"]) / 3 / p["a"]))
    power = fair_probabilities(rows[rows["phase"] == "close"], "power")["fair"].iloc[0]
    assert gap("power") == pytest.approx(np.log(power / p["a"]))
    early = (1 / 2.2) / (1 / 2.2 + 1 / 3.6 + 1 / 4.0)
    assert gap("early") == pytest.approx(np.log(early / p["a"]))
    assert gap("early", phase="early") == 0


def test_the_worse_bookmaker_is_found_and_the_equal_one_is_not():
    prices, ended = market(4_000, noise=0.4)

    scores = probability_scores(fair_probabilities(prices, "power"), ended, "sharp")

    assert list(scores.index) == ["sharp", "twin", "soft"]
    assert scores.loc["soft", "p_adjusted"] < 0.001
    np.testing.assert_array_equal(scores["p_adjusted"], holm(scores["p"].to_numpy()))
    assert scores.loc["soft", "p_adjusted"] == 2 * scores.loc["soft", "p"]
    assert scores.loc["soft", "low"] > 0
    assert scores.loc["twin", "p_adjusted"] > 0.01
    assert np.isnan(scores.loc["sharp", "p"])


def test_matches_of_one_day_count_as_one_day():
    # every match twice on its day: twice the matches, not more knowledge
    prices, ended = market(400, noise=0.3)
    again = prices.assign(event_id=prices["event_id"] + "x")

    once = probability_scores(fair_probabilities(prices, "power"), ended, "sharp")
    twice = probability_scores(
        fair_probabilities(pd.concat([prices, again]), "power"),
        pd.concat([ended, ended.assign(event_id=ended["event_id"] + "x")]),
        "sharp",
    )

    assert (twice["matches"] == 2 * once["matches"]).all()
    columns = ["gap", "low", "high", "p"]
    pd.testing.assert_frame_equal(twice[columns], once[columns], rtol=1e-9)


def test_the_interval_of_a_difference_covers_the_truth_also_where_a_day_has_its_luck():
    prices, ended = market(120 * 200, per_day=6, shared=0.9, seasons=200)

    table = score_table(prices, ended, ["power"], ["season"], reference="sharp").query("bookmaker == 'twin'")

    truth = table["gap"].mean()  # of 200 seasons: its error is a fourteenth of one season's
    assert 0.91 <= ((table["low"] <= truth) & (truth <= table["high"])).mean() <= 0.99  # standard error 0.015


def test_variance_of_a_clustered_sum_by_loops():
    rng = np.random.default_rng(3)
    values, group, cluster = rng.normal(size=(300, 2)), rng.integers(0, 4, 300), rng.integers(0, 25, 300)

    found, clusters = clustered_variance(values, group, cluster, 5)

    for g in range(4):
        sums = [
            values[(group == g) & (cluster == c)].sum(axis=0)
            for c in range(25)
            if ((group == g) & (cluster == c)).any()
        ]
        expected = len(sums) / (len(sums) - 1) * sum(np.outer(total, total) for total in sums)
        np.testing.assert_allclose(found[g], expected)
        assert clusters[g] == len(sums)
    assert clusters[4] == 0


def test_holm_by_hand():
    # sorted 0.01 x 3, 0.03 x 2, 0.04 x 1, never falling
    assert holm(np.array([0.04, 0.01, np.nan, 0.03])).tolist() == pytest.approx(
        [0.06, 0.03, np.nan, 0.06], nan_ok=True
    )
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_two_methods_that_are_one_are_not_told_apart_by_rounding():
    # Shin's is the additive method for two outcomes
    rng = np.random.default_rng(1)
    rows = [
        quote(f"m{i}", outcome=o, price=p, market="totals", line=2.5, start=KICK_OFF + pd.Timedelta(days=i))
        for i, p in enumerate(rng.uniform(1.5, 2.2, 40))
        for o, p in (("over", p), ("under", 1 / (1.06 - 1 / p)))
    ]
    ended = results(*(result(f"m{i}", int(goals), 0) for i, goals in enumerate(rng.integers(0, 6, 40))))

    table = score_table(quotes(*rows), ended, ["additive", "shin"], reference="additive").set_index("method")

    assert table.loc["shin", "gap"] == pytest.approx(0, abs=1e-9)
    assert np.isnan(table.loc["shin", "p"])


def test_what_cannot_be_computed_is_said():
    prices, ended = market(20)

    with pytest.raises(
        ParameterError,
        match="reference 'nobody' has no prices here; bookmakers are sharp, soft, twin, or consensus",
    ):
        score_table(prices, ended, reference="nobody")
    with pytest.raises(ParameterError, match="reference 'nobody' has no prices"):
        probability_scores(fair_probabilities(prices), ended, "nobody")
    with pytest.raises(ParameterError, match="no column 'colour' to group by"):
        reliability(prices, ended, by=("colour",))
    with pytest.raises(UnknownMethod, match="'magic'"):
        calibration_table(prices, ended, ["magic"])
    with pytest.raises(ParameterError, match="bins is 0; at least 1"):
        reliability(prices, ended, bins=0)
    with pytest.raises(ParameterError, match="methods is empty"):
        longshot_bias(prices, ended, [])
    with pytest.raises(ParameterError, match="prices is 3, 2; edges of price bands are two or more, rising"):
        longshot_bias(prices, ended, prices=[3, 2])
    with pytest.raises(ParameterError, match="several groups"):
        figures.longshots(longshot_bias(prices, ended))


# --- calibration


def test_recalibration_is_the_maximum_of_the_likelihood():
    prices, ended = market(500, margin=0.1)

    row = calibration_table(one(prices, "soft"), ended, ["multiplicative"]).iloc[0]

    p = fair_probabilities(one(prices, "soft"), "multiplicative")["fair"].to_numpy().reshape(-1, 3)
    won = (1 - np.sign(ended["home_score"] - ended["away_score"])).to_numpy(int)
    sign, odds = np.where(np.arange(3) == won[:, None], 1, -1), np.log(p / (1 - p))
    best = minimize(lambda b: np.log1p(np.exp(-sign * (b[0] + b[1] * odds))).sum(), [0, 1], tol=1e-10)
    assert [row["intercept"], row["slope"]] == pytest.approx(best.x, abs=1e-4)


def test_true_probabilities_have_slope_one_and_intervals_that_cover_it():
    prices, ended = market(180 * 200, per_day=6, shared=0.9, seasons=200)
    mine = one(prices, "sharp")

    table = calibration_table(mine, ended, ["power"], ["season", "outcome"])
    pooled = calibration_table(mine, ended, ["power"], ["season"])

    # 30 days a season, so Student's t with 29 degrees of freedom; standard errors of 0.009 (600 seasons of an
    # outcome) and 0.015 (200)
    assert 0.92 <= (np.abs(table["slope"] - 1) < 2.045 * table["slope_error"]).mean() <= 0.98
    assert 0.92 <= (np.abs(table["intercept"]) < 2.045 * table["intercept_error"]).mean() <= 0.98
    assert 0.91 <= (np.abs(pooled["slope"] - 1) < 2.045 * pooled["slope_error"]).mean() <= 0.99
    assert 0.01 <= (pooled["p"] < 0.05).mean() <= 0.09
    assert calibration_table(mine, ended, ["power"]).loc[0, "slope"] == pytest.approx(1, abs=0.04)
    assert pooled["ece"].mean() == pytest.approx(pooled["ece_by_chance"].mean(), rel=0.05)


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_intervals_of_a_reliability_diagram_cover_true_probabilities(shared):
    prices, ended = market(600 * 60, per_day=20, shared=shared, seasons=60)

    table = reliability(one(prices, "sharp"), ended, by=["season", "outcome"], bins=6)

    covered = ((table["low"] <= table["predicted"]) & (table["predicted"] <= table["high"])).mean()
    assert (
        0.92 <= covered <= 0.99
    )  # standard error 0.007 or less; 30 days tell little of how much a day's matches depend on each other


def test_a_reliability_table_is_a_plain_count():
    prices, ended = market(300)

    table = reliability(prices, ended, bins=5)

    fair = fair_probabilities(prices, "power").merge(ended, on="event_id")
    lead = np.sign(fair["home_score"] - fair["away_score"]).map({1: "home", 0: "draw", -1: "away"})
    edges = [0, *fair["fair"].quantile([0.2, 0.4, 0.6, 0.8]), 1]
    fair = fair.assign(
        happened=fair["outcome"] == lead, bin=pd.cut(fair["fair"], edges, right=False, labels=False)
    )
    plain = fair.groupby(["bookmaker", "bin"]).agg(
        selections=("fair", "size"), predicted=("fair", "mean"), observed=("happened", "mean")
    )
    found = table.set_index(["bookmaker", "bin"]).sort_index()[list(plain)]
    np.testing.assert_allclose(found.to_numpy(float), plain.sort_index().to_numpy(float))


def test_a_margin_that_lies_on_the_long_shots_is_bias_before_and_none_after():
    prices, ended = market(12_000, margin=0.1, method="power")
    mine = one(prices, "sharp")

    slopes = calibration_table(mine, ended, ["multiplicative", "power"]).set_index("method")
    bias = longshot_bias(mine, ended, ["multiplicative", "power"]).set_index("method")

    assert slopes.loc["multiplicative", "slope"] - 1 > 4 * slopes.loc["multiplicative", "slope_error"]
    assert abs(slopes.loc["power", "slope"] - 1) < 2 * slopes.loc["power", "slope_error"]
    assert slopes.loc["multiplicative", "ece"] > 1.8 * slopes.loc["multiplicative", "ece_by_chance"]
    long = bias[bias["band"] == 10.0]
    assert long.loc["multiplicative", "high"] < 1
    assert long.loc["power", "low"] < 1 < long.loc["power", "high"]
    favourites = bias[bias["band"] == 1.25]
    assert favourites.loc["multiplicative", "low"] > 1
    assert long.loc["power", "yield"] < favourites.loc["power", "yield"] - 0.1


def test_yield_and_ratio_by_price_are_plain_sums():
    prices, ended = market(500)
    mine = one(prices, "soft")

    table = longshot_bias(mine, ended, ["multiplicative"], prices=[1, 3, np.inf]).set_index("band")

    fair = fair_probabilities(mine, "multiplicative").merge(ended, on="event_id")
    lead = np.sign(fair["home_score"] - fair["away_score"]).map({1: "home", 0: "draw", -1: "away"})
    fair = fair.assign(won=fair["outcome"] == lead)
    for band, rows in ((1, fair[fair["price"] < 3]), (3, fair[fair["price"] >= 3])):
        assert table.loc[band, "selections"] == len(rows)
        assert table.loc[band, "yield"] == pytest.approx((rows["won"] * rows["price"] - 1).mean())
        assert table.loc[band, "ratio"] == pytest.approx(rows["won"].sum() / rows["fair"].sum())
        assert table.loc[band, "low"] < table.loc[band, "ratio"] < table.loc[band, "high"]


# --- figures


def pictures(prices, ended):
    methods = score_table(prices, ended, ["power", "shin", "multiplicative"], reference="multiplicative")
    hostile = longshot_bias(one(prices, "sharp"), ended)
    return [
        figures.reliability_diagram(reliability(prices, ended)),
        figures.reliability_diagram(reliability(prices, ended), "method"),
        figures.longshots(hostile, note="Data: a test."),
        figures.methods_compared(methods, "multiplicative"),
        figures.sharpness_by_season(
            score_table(prices, ended, ["power"], ["season"], reference="sharp"), "sharp"
        ),
    ]


@pytest.mark.slow
def test_every_figure_of_probabilities_says_in_words_what_it_shows():
    prices, ended = market(300)

    for picture in pictures(prices.replace({"bookmaker": {"twin": "<script>$x"}}), ended):
        html = picture._repr_html_()

        alt = re.search(r'alt="([^"]*)"', html)[1]
        assert len(alt) > 40
        assert "nan" not in alt
        assert "<script" not in html


def test_without_a_result_every_table_is_empty_and_every_figure_drawn():
    prices, ended = market(30)
    nothing = ended.assign(home_score=np.nan)

    assert score_table(prices, nothing, reference="sharp").empty
    assert probability_scores(fair_probabilities(prices), nothing, "sharp").empty
    assert calibration_table(prices, nothing).empty
    for picture in pictures(prices, nothing):
        assert picture.svg()
        assert len(picture.alt) > 30
        assert "nan" not in picture.alt
