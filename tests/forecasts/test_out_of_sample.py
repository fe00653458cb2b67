"""Walk-forward without a look ahead, and the signals made of it; each trap is seen to spring when it is
set.
"""

import numpy as np
import pandas as pd
import pytest

from overround import Flat, backtest, walk_forward
from overround.errors import ParameterError
from overround.forecasts import DixonColes, Elo, MarketModel
from overround.forecasts import out_of_sample as module
from overround.forecasts.base import MARKET_COLUMNS, PROBABILITIES
from overround.signals import consensus_signals, model_signals
from tests.support.books import KICK_OFF, quotes, three_way

BEGIN = pd.Timestamp("2022-08-06", tz="UTC")
NOTHING = pd.Series(dtype="datetime64[us, UTC]")


def league(
    weeks: int = 44, teams: int = 8, *, seed: int = 1, competition: str = "L1"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A round each Saturday: events and results, as the tables have them, kick-offs at 14:00 and 16:00."""
    rng = np.random.default_rng(seed)
    rows = []
    for week in range(weeks):
        order = rng.permutation(teams)
        start = BEGIN + pd.Timedelta(days=7 * week, hours=14)
        for game in range(teams // 2):
            home, away = order[2 * game], order[2 * game + 1]
            score = rng.poisson([1.6 * np.exp((home - away) / 8), 1.2 * np.exp((away - home) / 8)])
            rows.append(
                (
                    f"{competition}-{week:03d}-{game}",
                    start + pd.Timedelta(hours=2 * (game % 2)),
                    f"t{home}",
                    f"t{away}",
                    *score,
                )
            )
    frame = pd.DataFrame(rows, columns=["event_id", "starts_at", "home", "away", "home_score", "away_score"])
    frame = frame.assign(
        competition=competition, season="2223", starts_at=frame["starts_at"].astype("datetime64[us, UTC]")
    )
    ended = frame[["event_id", "home_score", "away_score", "competition", "season"]].astype(
        {"home_score": float, "away_score": float}
    )
    ended = ended.assign(
        status="final", settled_at=pd.Series(pd.NaT, frame.index, dtype="datetime64[us, UTC]")
    )
    return frame.drop(columns=["home_score", "away_score"]), ended


class Spy:
    """A model that keeps what it is shown and foretells the share of home wins."""

    def __init__(self):
        self.seen, self.asked = [], []

    def fit(self, matches, at):
        self.seen.append((at, matches))
        return (matches["home_score"] > matches["away_score"]).mean()

    def predict(self, params, fixtures):
        self.asked.append(fixtures)
        return np.tile([params, (1 - params) / 2, (1 - params) / 2], (len(fixtures), 1))


def assert_past_is_untouched_by_the_future(model, **settings):
    events, ended = league()
    cut = BEGIN + pd.Timedelta(days=7 * 33)
    before = walk_forward(model, events, ended, **settings)
    future = (events["starts_at"] >= cut).to_numpy()
    altered = ended.assign(
        home_score=np.where(future, ended["away_score"] + 5, ended["home_score"]),
        away_score=np.where(future, 0.0, ended["away_score"]),
    )
    shuffled = np.random.default_rng(2).permutation(len(events))

    after = walk_forward(model, events.iloc[shuffled], altered.iloc[shuffled[::-1]], **settings)

    past = before["predicted_at"] <= cut
    assert 50 < past.sum() < len(before)
    pd.testing.assert_frame_equal(before[past], after[past], check_exact=True)
    assert not before[~past].equals(after[~past])


@pytest.mark.parametrize(
    "settings",
    [{}, {"window_days": 150}, {"embargo_days": 10, "refit_days": 30}, {"lead_h": 1, "refit_days": 1}],
)
@pytest.mark.parametrize("model", [DixonColes(), Elo()], ids=["dixon-coles", "elo"])
def test_no_bit_of_a_forecast_changes_when_the_future_does(model, settings):
    assert_past_is_untouched_by_the_future(model, **settings)


def test_a_planted_leak_is_seen(monkeypatch):
    # as if results were known a week before the match
    monkeypatch.setattr(module, "_known_at", lambda matches: matches["starts_at"] - pd.Timedelta(days=7))

    with pytest.raises(AssertionError):
        assert_past_is_untouched_by_the_future(DixonColes())
    with pytest.raises(AssertionError):
        assert_training_ends_before_testing()


@pytest.mark.parametrize(
    "embargo_days", [0, 6]
)  # of a Saturday's match, 5.5 days pass from its result to the next fit
@pytest.mark.parametrize("window_days", [None, 90])
@pytest.mark.parametrize("lead_h", [None, 0, 30])
def test_in_every_fold_training_ends_before_testing_begins(embargo_days, window_days, lead_h):
    assert_training_ends_before_testing(embargo_days=embargo_days, window_days=window_days, lead_h=lead_h)


def assert_training_ends_before_testing(*, embargo_days=0, window_days=None, lead_h=None):
    events, ended = league()
    spy = Spy()

    told = walk_forward(
        spy,
        events,
        ended,
        embargo_days=embargo_days,
        window_days=window_days,
        lead_h=lead_h,
        least_matches=20,
    )

    embargo = pd.Timedelta(days=embargo_days)
    assert (told["trained_until"] < told["fitted_at"] - embargo).all()
    assert (told["fitted_at"] <= told["predicted_at"]).all()
    assert (told["predicted_at"] <= told["starts_at"]).all()
    assert len(spy.seen) == told["fitted_at"].nunique() > 30
    for (at, seen), asked in zip(spy.seen, spy.asked, strict=True):
        # the last match that taught it was over, by the day's end, before the fit
        assert (seen["starts_at"] + pd.Timedelta(hours=3)).max() < at - embargo
        assert at <= asked["predicted_at"].min()
        if window_days:
            assert seen["starts_at"].min() > at - pd.Timedelta(days=window_days + 1)
        assert not {"home_score", "away_score", "settled_at", "known_at"} & set(asked)


def test_every_match_is_foretold_once_and_an_expanding_window_forgets_nothing():
    events, ended = league()

    told = walk_forward(Elo(), events, ended, least_matches=1)

    # the first round has nothing to learn from
    assert sorted(told["event_id"]) == sorted(events["event_id"][4:])
    assert told["trained_on"].iloc[-1] == len(events) - 4
    assert told[list(PROBABILITIES)].sum(axis=1).to_numpy() == pytest.approx(1)


def test_only_results_known_at_the_time_count():
    events, ended = league(weeks=30)
    late = ended.assign(
        settled_at=ended["settled_at"].mask(ended["event_id"] == "L1-010-0", BEGIN + pd.Timedelta(days=100))
    )
    spy = Spy()

    walk_forward(spy, events, late, least_matches=1)

    first = next(at for at, seen in spy.seen if "L1-010-0" in set(seen["event_id"]))
    assert first > BEGIN + pd.Timedelta(days=100)
    assert next(at for at, seen in spy.seen if "L1-010-1" in set(seen["event_id"])) < BEGIN + pd.Timedelta(
        days=80
    )


def test_a_result_of_a_late_evening_is_not_known_at_midnight():
    events, ended = league(weeks=2)
    events = events.assign(
        starts_at=events["starts_at"].where(
            events["event_id"] != "L1-000-0", BEGIN + pd.Timedelta(hours=23, minutes=30)
        )
    )

    known = module._known_at(events.merge(ended, on="event_id"))

    assert known[0] == BEGIN + pd.Timedelta(days=2)
    assert known[1] == BEGIN + pd.Timedelta(days=1)


def test_an_abandoned_match_teaches_nothing_but_is_foretold():
    events, ended = league(weeks=30)
    lost = ended["event_id"] == "L1-010-0"
    abandoned = ended.assign(
        home_score=ended["home_score"].mask(lost), away_score=ended["away_score"].mask(lost)
    )

    spy = Spy()
    told = walk_forward(spy, events, abandoned, least_matches=1)

    assert "L1-010-0" in set(told["event_id"])
    assert not any("L1-010-0" in set(seen["event_id"]) for _, seen in spy.seen)


def test_a_model_is_fitted_no_more_often_than_asked():
    events, ended = league()

    weekly = walk_forward(Elo(), events, ended, least_matches=1)["fitted_at"].drop_duplicates()
    monthly = walk_forward(Elo(), events, ended, least_matches=1, refit_days=28)[
        "fitted_at"
    ].drop_duplicates()

    assert len(weekly) == 43
    assert (monthly.diff().dropna() >= pd.Timedelta(days=28)).all()
    assert len(monthly) == 11


def test_a_promoted_team_is_foretold_from_its_first_match():
    events, ended = league()
    late = events["starts_at"] > BEGIN + pd.Timedelta(days=7 * 33)
    events = events.assign(
        **{side: events[side].mask(late & (events[side] == "t3"), "promoted") for side in ("home", "away")}
    )

    told = walk_forward(DixonColes(), events, ended).merge(events, on="event_id")

    first = told[(told["home"] == "promoted") | (told["away"] == "promoted")].iloc[0]
    assert min(first[list(PROBABILITIES)]) > 0.05


@pytest.mark.slow
def test_leagues_have_models_of_their_own_unless_they_are_pooled():
    one, two = league(seed=1), league(seed=2, competition="L2")
    events, ended = (pd.concat(pair, ignore_index=True) for pair in zip(one, two, strict=True))

    alone = walk_forward(Elo(), *one)
    both = walk_forward(Elo(), events, ended)
    pooled = walk_forward(Elo(), events, ended, by=None)

    pd.testing.assert_frame_equal(both[both["competition"] == "L1"].reset_index(drop=True), alone)
    assert pooled["trained_on"].max() == 2 * alone["trained_on"].max()


def test_the_market_model_walks_with_the_columns_of_the_market():
    events, ended = league()
    events = events.assign(**dict(zip(MARKET_COLUMNS, (0.5, 0.25, 0.25), strict=True)))
    events.loc[events.index[-1], "market_home"] = np.nan

    told = walk_forward(MarketModel(), events, ended)

    assert told[list(PROBABILITIES)].notna().all(axis=1).sum() == len(told) - 1


def test_nothing_to_learn_from_is_an_empty_table_with_its_columns():
    events, ended = league(weeks=3)

    told = walk_forward(Elo(), events, ended)

    assert told.empty
    assert set(PROBABILITIES) < set(told)
    assert model_signals(told, quotes(three_way())).empty


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"refit_days": 0}, "refit_days is 0"),
        ({"embargo_days": -1}, "embargo_days is -1"),
        ({"least_matches": 0}, "least_matches is 0"),
        ({"window_days": 5, "embargo_days": 7}, "window_days is 5"),
        ({"start": "soon"}, "start is 'soon'"),
        ({"lead_h": -1}, "lead_h is -1"),
        ({"by": "country"}, "events need the column 'country'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        walk_forward(Elo(), *league(weeks=3), **settings)


def test_a_result_among_the_columns_of_a_fixture_is_refused():
    events, ended = league(weeks=3)

    with pytest.raises(ParameterError, match="home_score"):
        walk_forward(Elo(), events.assign(home_score=1), ended)


NOON = pd.Timestamp("2025-02-28 12:00", tz="UTC")  # the Friday before KICK_OFF


def told(p=(0.6, 0.25, 0.15), event="m1", at=NOON) -> pd.DataFrame:
    return pd.DataFrame(
        {"event_id": [event], **dict(zip(PROBABILITIES, [[x] for x in p], strict=True)), "predicted_at": [at]}
    )


def test_a_model_bets_where_its_probability_times_the_price_is_enough():
    shown = quotes(
        three_way("m1", "acme", (1.75, 3.9, 5.0)),
        three_way("m1", "best", (1.8, 3.8, 4.8)),
        three_way("m2", "acme", (2.0, 3.5, 4.0)),
    )

    signals = model_signals(told(), shown, 0.05, name="toy")

    bet = signals.iloc[0]
    assert len(signals) == 1
    assert (bet["bookmaker"], bet["outcome"], bet["price"], bet["probability"]) == ("best", "home", 1.8, 0.6)
    assert bet["edge"] == pytest.approx(0.08)
    assert bet["placed_at"] == NOON
    assert bet["strategy"].startswith("toy (edge from 5.0")


def test_market_averages_and_maxima_are_no_accounts_for_a_model_unless_named():
    shown = quotes(
        three_way("m1", "acme", (1.7, 3.9, 5.2)), three_way("m1", "market_maximum", (1.8, 4.0, 5.4))
    )

    assert model_signals(told(), shown).empty
    assert model_signals(told(), shown, bookmakers=["market_maximum"])["bookmaker"].tolist() == [
        "market_maximum"
    ]


def test_no_bet_is_placed_before_its_match_was_foretold():
    shown = quotes(
        three_way("m1", "acme", (2.0, 3.4, 4.0), phase="snapshot", at="2025-02-28 09:00"),
        three_way("m1", "acme", (1.8, 3.8, 4.6), phase="snapshot", at="2025-02-28 15:00"),
    )

    signals = model_signals(told(), shown)

    assert signals["price"].tolist() == [1.8]
    assert (signals["placed_at"] >= NOON).all()
    # an early price counts as taken at noon: too early for what is known an hour later
    assert model_signals(
        told(at=NOON + pd.Timedelta(hours=1)), quotes(three_way("m1", "acme", (2.0, 3.4, 4.0)))
    ).empty


def test_a_model_bets_at_the_close_at_kick_off():
    shown = quotes(
        three_way("m1", "acme", (1.8, 3.8, 4.6), phase="close"), three_way("m1", "acme", (2.0, 3.4, 4.0))
    )

    signals = model_signals(told(at=KICK_OFF - pd.Timedelta(hours=1)), shown, at_close=True)

    assert signals["price"].tolist() == [1.8]
    assert signals["placed_at"].tolist() == [KICK_OFF]


def test_a_model_without_opinion_and_an_edge_beyond_belief_make_no_bet():
    shown = quotes(three_way("m1", "acme", (2.5, 3.4, 2.9)))

    assert model_signals(told((np.nan,) * 3), shown).empty
    assert model_signals(told(), shown, max_edge=0.25).empty
    assert len(model_signals(told(), shown, max_edge=0.6)) == 1


def test_signals_of_a_model_are_what_the_backtest_takes():
    events, ended = league()
    prices = [
        three_way(event, "acme", (2.2, 3.4, 3.6), start=start)
        for event, start in events[["event_id", "starts_at"]].to_numpy()
    ]
    shown = quotes(*prices)

    ledger = backtest(
        model_signals(walk_forward(DixonColes(), events, ended), shown, max_edge=1),
        ended,
        stake=Flat(1),
        bankroll=1e4,
    )

    assert len(ledger) > 50
    assert (ledger["placed_at"] < ledger["starts_at"]).all()


BOOKS = ("a", "b", "c", "d")


def consensus_book(best=(2.6, 3.3, 3.4), event="m1", **more):
    """Three bookmakers with means near 2.1, and one that is far from them."""
    return [row for name in BOOKS[:3] for row in three_way(event, name, (2.1, 3.4, 3.5), **more)] + three_way(
        event, "d", best, **more
    )


def test_the_consensus_strategy_bets_by_hand_calculation():
    signals = consensus_signals(quotes(consensus_book()))

    # mean (3 x 2.1 + 2.6) / 4 = 2.225: (1 / 2.225 - 0.05) x 2.6 = 1.0385
    bet = signals.iloc[0]
    assert len(signals) == 1
    assert (bet["bookmaker"], bet["outcome"], bet["price"]) == ("d", "home", 2.6)
    assert bet["probability"] == pytest.approx(1 / 2.225 - 0.05)
    assert bet["edge"] == pytest.approx(0.03854, abs=1e-5)


@pytest.mark.parametrize(("best", "bets"), [(2.33, 0), (2.46, 1)])
def test_the_consensus_strategy_bets_above_its_threshold_only(best, bets):
    # (1 / 2.1575 - 0.05) 2.33 = 0.9635; (1 / 2.19 - 0.05) 2.46 = 1.0003
    assert len(consensus_signals(quotes(consensus_book((best, 3.3, 3.4))))) == bets


def test_a_match_is_bet_once_at_the_outcome_that_promises_most():
    signals = consensus_signals(quotes(consensus_book((2.6, 2.4, 5.0))))

    # away: mean (3 x 3.5 + 5) / 4 = 3.875, (1 / 3.875 - 0.05) x 5 = 1.0403 against 1.0385 of home
    assert signals["outcome"].tolist() == ["away"]


def test_a_consensus_needs_four_prices():
    assert consensus_signals(quotes([row for row in consensus_book() if row["bookmaker"] != "a"])).empty
    assert (
        len(
            consensus_signals(
                quotes([row for row in consensus_book() if row["bookmaker"] != "a"]), least=3, margin=0.03
            )
        )
        == 1
    )


def test_the_setting_of_the_paper_bets_at_the_maximum_against_the_average():
    summary = [
        three_way("m1", "market_average", (2.1, 3.4, 3.5)),
        three_way("m1", "market_maximum", (2.4, 3.6, 3.8)),
    ]
    shown = quotes(three_way("m1", "acme", (2.1, 3.4, 3.5)), *summary)

    signals = consensus_signals(shown, consensus="market_average", bookmakers=["market_maximum"])

    # (1 / 2.1 - 0.05) x 2.4 = 1.0229
    assert signals["bookmaker"].tolist() == ["market_maximum"]
    assert signals["edge"].tolist() == pytest.approx([0.02286], abs=1e-5)
    # by default it is neither an account nor part of the mean
    assert consensus_signals(shown, least=1).empty
    pd.testing.assert_frame_equal(
        consensus_signals(quotes(consensus_book(), *summary)), consensus_signals(quotes(consensus_book()))
    )


def test_the_consensus_is_of_the_prices_that_stood_at_the_time():
    shown = quotes(
        consensus_book((2.15, 3.3, 3.4), phase="snapshot", at="2025-02-28 10:00"),
        three_way("m1", "d", (2.6, 3.0, 3.0), phase="snapshot", at="2025-02-28 12:00"),
        *(three_way("m1", name, (2.9, 3.0, 2.6), phase="snapshot", at="2025-02-28 14:00") for name in BOOKS),
    )

    signals = consensus_signals(shown)

    assert signals["placed_at"].tolist() == [NOON]
    assert signals["price"].tolist() == [2.6]


def test_a_market_with_an_unbelievable_overround_is_neither_bet_nor_part_of_the_mean():
    shown = quotes(consensus_book(), three_way("m1", "exchange", (8.0, 9.0, 9.0)))

    pd.testing.assert_frame_equal(consensus_signals(shown), consensus_signals(quotes(consensus_book())))


def test_a_consensus_that_is_not_there_is_refused():
    with pytest.raises(ParameterError, match="market_average"):
        consensus_signals(quotes(consensus_book()), consensus="market_average")
    with pytest.raises(ParameterError, match="margin is 1"):
        consensus_signals(quotes(consensus_book()), margin=1)
