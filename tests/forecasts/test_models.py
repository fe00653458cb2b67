"""Goal models, ratings and the recalibrated market: against hand calculation, theory, simulated truth and
penaltyblog.
"""

import numpy as np
import pandas as pd
import pytest

from overround import fair_probabilities
from overround.errors import ParameterError
from overround.figures import forecast_gaps, reliability_diagram
from overround.forecasts import (
    DixonColes,
    Elo,
    MarketModel,
    Poisson,
    as_bookmakers,
    compare_forecasts,
    market_probabilities,
    probability_scores,
    reliability,
)
from overround.forecasts.base import MARKET_COLUMNS, PROBABILITIES, team_codes
from overround.forecasts.elo import ordered_logit, outcome_logit
from overround.forecasts.goals import Strengths, _loss, _Pairs, _prior, score_grid, three_way
from overround.prices.margin import METHODS

from tests.support.books import quotes, result, results, three_way as three_prices  # isort: skip

AT = pd.Timestamp("2024-07-01", tz="UTC")


def league(
    seasons: int = 2, teams: int = 10, *, rho: float = 0.0, seed: int = 1, spread: float = 0.3
) -> tuple[pd.DataFrame, Strengths]:
    """Double round robins, a season a year until `AT`, of teams whose strengths are known."""
    rng = np.random.default_rng(seed)
    names = pd.Index([f"team {number:02d}" for number in range(teams)])
    attack, defence = rng.normal(0.15, spread, teams), rng.normal(0, spread, teams)
    truth = Strengths(names, attack, defence, 0.25, rho, (0.0, 0.0))
    home, away = (side.ravel() for side in np.meshgrid(names, names, indexing="ij"))
    home, away = np.tile(home[home != away], seasons), np.tile(away[home != away], seasons)
    grid = score_grid(truth, home, away)
    drawn = (rng.random((len(home), 1)) > grid.reshape(len(home), -1).cumsum(axis=1)).sum(axis=1)
    home_score, away_score = np.divmod(drawn, grid.shape[1])
    starts = AT - pd.to_timedelta(np.linspace(seasons * 364 * 24, 48, len(home)).round(), unit="h")
    order = rng.permutation(len(home))
    frame = pd.DataFrame(
        {
            "home": home[order],
            "away": away[order],
            "home_score": home_score[order],
            "away_score": away_score[order],
        }
    )
    return frame.assign(starts_at=pd.Series(starts).astype("datetime64[us, UTC]")), truth


def test_scores_of_independent_teams_have_the_probabilities_of_two_poisson_variables():
    from scipy.stats import poisson

    strengths = Strengths(
        pd.Index(["a", "b"]), np.array([0.4, -0.1]), np.array([0.0, 0.2]), 0.3, 0.0, (0.0, 0.0)
    )

    grid = score_grid(strengths, ["a"], ["b"])[0]

    # expected goals exp(0.3 + 0.4 + 0.2) and exp(-0.1 + 0.0)
    assert grid[2, 1] == pytest.approx(poisson.pmf(2, np.exp(0.9)) * poisson.pmf(1, np.exp(-0.1)), rel=1e-6)
    assert grid.sum() == pytest.approx(1, abs=1e-12)
    assert three_way(grid[None])[0, 1] == pytest.approx(np.trace(grid))


def test_dixon_and_coles_move_the_four_low_scores_and_no_other():
    strengths = Strengths(
        pd.Index(["a", "b"]), np.array([0.4, -0.1]), np.array([0.0, 0.2]), 0.3, 0.0, (0.0, 0.0)
    )
    moved = Strengths(**{**vars(strengths), "rho": -0.1})

    ratio = score_grid(moved, ["a"], ["b"])[0] / score_grid(strengths, ["a"], ["b"])[0]

    lam, mu = np.exp(0.9), np.exp(-0.1)
    assert ratio[0, 0] == pytest.approx(1 + 0.1 * lam * mu)
    assert ratio[0, 1] == pytest.approx(1 - 0.1 * lam)
    assert ratio[1, 0] == pytest.approx(1 - 0.1 * mu)
    assert ratio[1, 1] == pytest.approx(1.1)
    assert ratio[2:, :] == pytest.approx(1)


def test_the_gradient_is_that_of_the_likelihood():
    matches, _ = league(rho=-0.05)
    teams, home, away, _ = team_codes(matches)
    pairs = _Pairs.of(home, away, matches, np.linspace(0.2, 1, len(matches)), len(teams))
    prior = _prior(np.arange(len(teams)) > 6, 9.0)
    x = np.random.default_rng(3).normal(0, 0.1, 2 * len(teams) + 2)
    nudges = np.eye(len(x)) * 1e-6

    _, gradient = _loss(x, pairs, prior)

    expected = [
        (_loss(x + nudge, pairs, prior)[0] - _loss(x - nudge, pairs, prior)[0]) / 2e-6 for nudge in nudges
    ]
    assert gradient == pytest.approx(np.array(expected), abs=1e-4)


@pytest.mark.parametrize("low_scores", [True, False])
def test_without_a_prior_the_fit_is_that_of_penaltyblog(low_scores):
    import penaltyblog

    matches, _ = league(rho=-0.08)
    weights = np.exp2(-((AT - matches["starts_at"]) / pd.Timedelta(days=1)).to_numpy() / 200)
    peer = (penaltyblog.models.DixonColesGoalModel if low_scores else penaltyblog.models.PoissonGoalsModel)(
        *(matches[column].to_numpy() for column in ("home_score", "away_score")),
        *(matches[column].to_numpy(object) for column in ("home", "away")),
        weights,
    )
    # not with its gradient: that of Dixon and Coles in 1.13.1 is not its likelihood's own, and its strengths
    # end 0.004 off
    peer.fit(minimizer_options={"ftol": 1e-10, "maxiter": 500}, use_gradient=False)
    model = (DixonColes if low_scores else Poisson)(half_life_days=200, spread=np.inf)

    ours = model.fit(matches, AT)

    theirs = peer.get_params()
    attack, defence = np.split(
        np.array(list(theirs.values()))[: 2 * len(ours.teams)], 2
    )  # teams in alphabetical order, as ours
    shift = 1 - ours.attack.mean()  # they fix the mean attack at 1
    assert ours.home == pytest.approx(theirs["home_advantage"], abs=1e-5)
    assert ours.attack + shift == pytest.approx(attack, abs=1e-5)
    assert ours.defence - shift == pytest.approx(defence, abs=1e-5)
    if low_scores:
        assert ours.rho == pytest.approx(theirs["rho"], abs=1e-5)
    pair = matches.iloc[:20]
    expected = [
        peer.predict(home, away, max_goals=16).home_draw_away
        for home, away in zip(pair["home"], pair["away"], strict=True)
    ]
    assert model.predict(ours, pair) == pytest.approx(np.array(expected), abs=2e-6)


def test_the_truth_of_a_simulated_league_is_found():
    matches, truth = league(seasons=20, rho=-0.1)

    found = DixonColes(half_life_days=np.inf).fit(matches, AT)

    # 1,800 matches: standard error of a strength about 0.05, of rho about 0.03
    assert np.abs(found.attack - found.attack.mean() - (truth.attack - truth.attack.mean())).max() < 0.15
    assert found.home == pytest.approx(0.25, abs=0.1)
    assert found.rho == pytest.approx(-0.1, abs=0.08)


def test_the_half_life_is_the_age_at_which_a_match_counts_half():
    matches, _ = league(seasons=1)

    # two copies a half-life ago count as one today
    old = matches.assign(starts_at=AT - pd.Timedelta(days=100))
    both = DixonColes(half_life_days=100).fit(pd.concat([old, old], ignore_index=True), AT)
    today = DixonColes(half_life_days=100).fit(matches.assign(starts_at=AT), AT)

    assert both.attack == pytest.approx(today.attack, abs=1e-6)


def test_a_team_of_one_match_keeps_sensible_strengths():
    matches, _ = league(seasons=2)
    lost = {
        "home": "new",
        "away": "team 00",
        "home_score": 0,
        "away_score": 4,
        "starts_at": AT - pd.Timedelta(days=1),
    }
    promoted = pd.concat([matches, pd.DataFrame([lost])], ignore_index=True).astype(
        {"starts_at": "datetime64[us, UTC]"}
    )
    fixture = pd.DataFrame({"home": ["new"], "away": ["team 01"]})

    for model in (DixonColes(), Poisson(), Elo()):
        p = model.predict(model.fit(promoted, AT), fixture)[0]

        assert p.sum() == pytest.approx(1)
        assert (p > 0.04).all(), model


def test_a_team_never_seen_is_taken_for_a_newcomer_and_newcomers_are_weaker_where_they_were():
    matches, _ = league(seasons=4, spread=0.01)
    late = matches["starts_at"] > AT - pd.Timedelta(days=728)
    weak = matches["home"].isin(["team 08", "team 09"]) | matches["away"].isin(["team 08", "team 09"])
    beaten = matches.assign(
        home_score=matches["home_score"].where(~matches["home"].isin(["team 08", "team 09"]), 0),
        away_score=matches["away_score"].where(~matches["away"].isin(["team 08", "team 09"]), 0),
    )[late | ~weak]
    fixtures = pd.DataFrame({"home": ["never seen", "team 01", "team 08", "team 09"], "away": "team 02"})

    for model in (DixonColes(), Elo()):
        stranger, known, *promoted = model.predict(model.fit(beaten, AT), fixtures)

        assert stranger[0] < known[0] - 0.05, model
        if isinstance(model, DixonColes):
            assert stranger[0] == pytest.approx(np.mean(promoted, axis=0)[0], abs=0.02)


def test_elo_moves_ratings_by_hand_calculation():
    matches = pd.DataFrame(
        {
            "home": ["a", "b"],
            "away": ["b", "a"],
            "home_score": [3, 1],
            "away_score": [0, 1],
            "starts_at": pd.to_datetime(["2024-01-01", "2024-01-08"], utc=True).astype("datetime64[us, UTC]"),
        }
    )

    ratings = Elo(k=10, margin_power=1, home_points=0).fit(matches, AT)

    # 3-0 between equals moves 10 x 4 x 0.5 = 20; then b at 1480 draws with a at 1520: expected 1 / (1 +
    # 10^0.1) = 0.4427, moves 0.573
    assert ratings.rating == pytest.approx([1520 - 0.5731, 1480 + 0.5731], abs=1e-3)


def test_the_ordered_logit_finds_its_own_parameters():
    rng = np.random.default_rng(5)
    lead = rng.normal(0, 150, 40_000)
    p = ordered_logit(lead, -0.3, 1.1, 2.2)
    margin = 1 - (rng.random((len(lead), 1)) > p.cumsum(axis=1)).sum(axis=1)

    home, draw, slope = outcome_logit(lead, margin.astype(float))

    assert (home, draw, slope) == pytest.approx((-0.3, 1.1, 2.2), abs=0.06)
    assert p.min() > 0
    assert p.sum(axis=1) == pytest.approx(1)


def test_elo_does_not_depend_on_the_order_of_rows():
    matches, _ = league()

    one, other = Elo().fit(matches, AT), Elo().fit(matches.sample(frac=1, random_state=2), AT)

    assert (one.rating == other.rating).all()


def skewed_market(n: int, seed: int = 4) -> pd.DataFrame:
    """Matches whose market understates favourites: true log odds are 1.2 times the market's."""
    rng = np.random.default_rng(seed)
    q = rng.dirichlet([6, 3.5, 4], n)
    p = q**1.2 / (q**1.2).sum(axis=1, keepdims=True)
    happened = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1)
    scores = pd.DataFrame(
        {"home_score": (happened == 0).astype(int), "away_score": (happened == 2).astype(int)}
    )
    return scores.assign(**dict(zip(MARKET_COLUMNS, q.T, strict=True)))


def test_the_market_model_finds_a_biased_market_and_leaves_an_honest_one_alone():
    slope, home, away = MarketModel(prior_matches=1).fit(skewed_market(40_000), AT)
    few = MarketModel(prior_matches=1e6).fit(skewed_market(500), AT)

    assert slope == pytest.approx(1.2, abs=0.05)
    assert (home, away) == pytest.approx((0, 0), abs=0.06)
    assert few == pytest.approx([1, 0, 0], abs=0.01)


def test_the_market_model_has_no_opinion_without_a_market():
    matches = skewed_market(100)
    matches.loc[3, "market_draw"] = np.nan

    p = MarketModel().predict(MarketModel().fit(matches, AT), matches)

    assert np.isnan(p[3]).all()
    assert np.delete(p, 3, axis=0).sum(axis=1) == pytest.approx(1)
    with pytest.raises(ParameterError, match="market_home"):
        MarketModel().fit(matches.drop(columns="market_home"), AT)


def test_the_market_is_read_as_it_stood_when_the_match_was_to_be_foretold():
    start = pd.Timestamp("2025-03-01 15:00", tz="UTC")
    shown = quotes(
        three_prices("m1", "sharp", (2.0, 3.6, 4.0), phase="snapshot", at="2025-02-28 10:00"),
        three_prices("m1", "sharp", (1.5, 4.5, 7.0), phase="snapshot", at="2025-02-28 20:00"),
        three_prices("m1", "sharp", (1.2, 6.5, 12.0), phase="close"),
        three_prices("m2", "sharp", (3.0, 3.3, 2.5), phase="early"),
        three_prices("m2", "sharp", (9.0, 5.3, 1.3), phase="close"),
    )

    by_rule = market_probabilities(shown, "sharp", "multiplicative").set_index("event_id")
    late = market_probabilities(shown, "sharp", "multiplicative", lead_h=1).set_index("event_id")
    closing = market_probabilities(shown, "sharp", "multiplicative", at_close=True).set_index("event_id")

    # noon on the Friday before, 28 February
    assert (start - pd.Timedelta(hours=27)).day_name() == "Friday"
    inverse = 1 / np.array([2.0, 3.6, 4.0])
    assert by_rule.loc["m1"].to_numpy() == pytest.approx(inverse / inverse.sum())
    assert by_rule.loc["m2", "market_away"] == pytest.approx(0.4 / (1 / 3 + 1 / 3.3 + 0.4))
    assert late.loc["m1", "market_home"] == pytest.approx((1 / 1.5) / (1 / 1.5 + 1 / 4.5 + 1 / 7))
    assert closing.loc["m2", "market_away"] == pytest.approx((1 / 1.3) / (1 / 9 + 1 / 5.3 + 1 / 1.3))


def test_a_market_of_which_one_price_moved_is_whole():
    shown = quotes(
        three_prices("m1", "sharp", (2.0, 3.6, 4.0), phase="snapshot", at="2025-02-28 10:00"),
        three_prices("m1", "sharp", (1.8, 3.6, 4.0), phase="snapshot", at="2025-02-28 11:00")[:1],
    )

    p = market_probabilities(shown, "sharp", "multiplicative")[list(MARKET_COLUMNS)].to_numpy()

    inverse = 1 / np.array([1.8, 3.6, 4.0])
    assert p[0] == pytest.approx(inverse / inverse.sum())


def test_a_price_that_was_seen_late_was_not_known_before():
    late = quotes(three_prices("m1", "sharp", (1.5, 4.5, 7.0), phase="snapshot", at="2025-02-28 10:00"))
    late["collected_at"] = pd.Timestamp("2025-02-28 13:00", tz="UTC")
    shown = pd.concat(
        [
            late,
            quotes(three_prices("m1", "sharp", (2.0, 3.6, 4.0), phase="snapshot", at="2025-02-28 09:00")[:1]),
        ]
    )

    # at noon one price of three was known; at 13:00 the market was whole
    assert market_probabilities(shown, "sharp", "multiplicative").empty
    p = market_probabilities(shown, "sharp", "multiplicative", lead_h=1)[list(MARKET_COLUMNS)].to_numpy()
    inverse = 1 / np.array([1.5, 4.5, 7.0])
    assert p[0] == pytest.approx(inverse / inverse.sum())


def test_a_market_that_nobody_could_have_shown_is_no_forecast():
    shown = quotes(three_prices("m1", "sharp", (9.0, 9.0, 9.0)))

    assert market_probabilities(shown, "sharp").empty
    assert market_probabilities(shown, "another").empty
    assert list(market_probabilities(shown, "another")) == ["event_id", *MARKET_COLUMNS]


def test_forecasts_are_scored_beside_bookmakers():
    shown = quotes(three_prices("m1", "sharp", (2.0, 4.0, 4.0), phase="close"))
    told = pd.DataFrame(
        {
            "event_id": ["m1"],
            "probability_home": [0.6],
            "probability_draw": [0.25],
            "probability_away": [0.15],
        }
    )
    fair = pd.concat([fair_probabilities(shown, "multiplicative"), as_bookmakers({"model": told})])

    scores = probability_scores(fair, results(result("m1", 1, 0)), "sharp")

    assert scores.loc["model", "log_loss"] == pytest.approx(-np.log(0.6))
    assert scores.loc["model", "gap"] == pytest.approx(np.log(0.5 / 0.6))


@pytest.mark.parametrize(
    "make",
    [
        lambda: DixonColes(half_life_days=0),
        lambda: Poisson(spread=-1),
        lambda: Elo(k=0),
        lambda: MarketModel(0),
    ],
)
def test_a_setting_that_cannot_be_is_refused(make):
    with pytest.raises(ParameterError, match="must be above 0"):
        make()


@pytest.mark.parametrize("model", [Poisson(), DixonColes(), Elo(), MarketModel()])
def test_a_match_without_a_score_teaches_no_model(model):
    matches = pd.concat([league()[0].head(20), skewed_market(20)[list(MARKET_COLUMNS)]], axis=1).astype(
        {"home_score": float}
    )
    matches.loc[3, "home_score"] = np.nan

    with pytest.raises(ParameterError, match="got 20, 1 of them without a score"):
        model.fit(matches, AT)


@pytest.mark.parametrize("model", [Poisson(), DixonColes(), Elo()])
def test_no_match_teaches_no_model(model):
    with pytest.raises(ParameterError, match="at least 1; got 0"):
        model.fit(league()[0].head(0), AT)


def forecast(*rows: tuple[str, float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["event_id", *PROBABILITIES])


ENDED = results(result("m1", 1, 0), result("m2", 0, 0), {**result("m3", 0, 2), "season": "2526"})
TOLD = forecast(("m1", 0.6, 0.25, 0.15), ("m2", 0.5, 0.3, 0.2), ("m3", 0.2, 0.3, 0.5))
CLOSE = forecast(("m1", 0.5, 0.25, 0.25), ("m2", 0.4, 0.4, 0.2), ("m3", 0.1, 0.2, 0.7), ("m4", 0.1, 0.2, 0.7))


def test_forecasts_are_compared_on_the_matches_that_all_foretold():
    partly = TOLD.assign(probability_home=TOLD["probability_home"].where(TOLD["event_id"] != "m2"))

    scores = compare_forecasts({"model": partly, "close": CLOSE}, ENDED, "close")

    assert scores["matches"].tolist() == [2, 2]
    assert scores.loc["model", "log_loss"] == pytest.approx(-np.log([0.6, 0.5]).mean())
    assert scores.loc["model", "gap"] == pytest.approx(-np.log([0.6 / 0.5, 0.5 / 0.7]).mean())


@pytest.mark.parametrize("name", ["early", "consensus"])
def test_a_forecast_may_have_the_name_of_a_phase_or_of_a_mean(name):
    scores = compare_forecasts({"model": TOLD, name: CLOSE}, ENDED, name)

    assert scores.loc[name, "gap"] == 0
    assert scores.loc["model", "gap"] == pytest.approx(np.log([0.5 / 0.6, 0.4 / 0.3, 0.7 / 0.5]).mean())


def test_forecasts_are_compared_season_by_season():
    scores = compare_forecasts({"model": TOLD, "close": CLOSE}, ENDED, "close", by="season")

    gaps = scores.loc["model"].set_index("season")["gap"]
    assert gaps["2425"] == pytest.approx(-np.log([0.6 / 0.5, 0.3 / 0.4]).mean())
    assert gaps["2526"] == pytest.approx(-np.log(0.5 / 0.7))
    with pytest.raises(ParameterError, match="no column 'country'"):
        compare_forecasts({"model": TOLD, "close": CLOSE}, ENDED, "close", by="country")
    with pytest.raises(ParameterError, match="reference 'open' is none"):
        compare_forecasts({"model": TOLD}, ENDED, "open")


def test_forecasts_are_calibrated_as_bookmakers_are():
    told = as_bookmakers({"model": TOLD, "close": CLOSE}, common=True)

    found = reliability(told, ENDED, by=["bookmaker"], bins=1).set_index("bookmaker")
    bands = reliability(told, ENDED, by=["bookmaker", "outcome"], bins=1).set_index(["bookmaker", "outcome"])

    # m4 is told by one only; of nine selections three happened, and three of three matches were no draw but
    # m2
    assert set(told["event_id"]) == {"m1", "m2", "m3"}
    assert found["selections"].tolist() == [9, 9]
    assert found["predicted"].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert found["observed"].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert bands.loc[("model", "home"), "predicted"] == pytest.approx((0.6 + 0.5 + 0.2) / 3)
    assert bands.loc[("close", "draw"), "predicted"] == pytest.approx((0.25 + 0.4 + 0.2) / 3)
    assert bands.loc[("close", "draw"), "observed"] == pytest.approx(1 / 3)


def test_a_forecast_is_a_price_that_every_method_takes_for_what_it_says():
    told = as_bookmakers({"model": TOLD})

    for method in METHODS:
        assert fair_probabilities(told.assign(observed_at=pd.NaT), method)[
            "fair"
        ].to_numpy() == pytest.approx(told["fair"].to_numpy()), method


def test_matches_of_one_day_are_one_observation_of_a_forecast():
    days = pd.to_datetime(["2025-03-01 15:00", "2025-03-01 18:00", "2025-03-02 15:00"], utc=True)

    apart = compare_forecasts({"model": TOLD, "close": CLOSE}, ENDED, "close").loc["model"]
    together = compare_forecasts({"model": TOLD, "close": CLOSE}, ENDED.assign(starts_at=days), "close").loc[
        "model"
    ]

    # two days leave one degree of freedom: t = 12.7 in place of 4.3
    assert together["gap"] == pytest.approx(apart["gap"])
    sums = np.log([0.5 / 0.6, 0.4 / 0.3, 0.7 / 0.5]) - apart["gap"]
    error = np.sqrt(2 * ((sums[0] + sums[1]) ** 2 + sums[2] ** 2)) / 3
    assert together["high"] - together["gap"] == pytest.approx(12.7062 * error, rel=1e-4)


def test_the_figures_of_forecasts_say_their_numbers():
    scores = compare_forecasts({"model": TOLD, "close": CLOSE}, ENDED, "close", by="season")

    gaps = forecast_gaps(scores, "close", note="invented")

    # weighted by matches: mean of ln(0.5/0.6), ln(0.4/0.3), ln(0.7/0.5)
    mean = 1000 * np.log([0.5 / 0.6, 0.4 / 0.3, 0.7 / 0.5]).mean()
    assert f"model {mean:+.1f}" in gaps.alt
    assert gaps.svg().startswith(b"<?xml")


def test_figures_of_no_forecasts_are_drawn():
    nothing = {"model": TOLD.iloc[:0], "close": CLOSE.iloc[:0]}

    assert "none" in forecast_gaps(compare_forecasts(nothing, ENDED, "close", by="season"), "close").alt
    told = reliability(as_bookmakers(nothing), ENDED, by=["bookmaker"])
    assert "no decided matches" in reliability_diagram(told).alt
