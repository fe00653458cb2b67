"""Text and its encoding give the same numbers in the same order, to the last bit; encoded columns stay so."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

import overround as ov
from overround.encoding import ENCODED, encode
from tests.support.markets import random_market

EVENTS, QUOTES, RESULTS = ov.example()
SAMPLE = {"events": EVENTS, "quotes": QUOTES, "results": RESULTS}
WEIGHTS = {"sharp": 2.0, "soft_1": 1.0, "soft_2": 0.5, "soft_3": 1.0}


def with_more_words(frame: pd.DataFrame) -> pd.DataFrame:
    """As part of a larger table comes: some words are in no row."""
    columns = frame.columns.intersection(ENCODED)
    return frame.assign(
        **{name: pd.Categorical(frame[name], ["", *sorted(set(frame[name])), "~"]) for name in columns}
    )


def on_the_closing(function, events, quotes, results, **given):
    fair = ov.fair_probabilities(ov.prices.closing_quotes(quotes))
    return function(fair, results, **given)


def on_forecasts(function, events, quotes, results, **given):
    forecasts = {name: ov.forecasts.market_probabilities(quotes, name) for name in ("sharp", "soft_1")}
    return function(forecasts, **given)


def compared(forecasts, **given):
    return ov.forecasts.compare_forecasts(forecasts, RESULTS, **given)


def by_a_model(model, events, quotes, results):
    known = events.merge(ov.forecasts.market_probabilities(quotes, "sharp", lead_h=24), on="event_id")
    forecasts = ov.walk_forward(model, known, results.drop(columns="starts_at"), least_matches=20)
    return forecasts.merge(ov.signals.model_signals(forecasts, quotes, 0.0), on="event_id")


def on_quotes(function, events, quotes, results, **given):
    return function(quotes, **given)


def on_quotes_and_results(function, events, quotes, results, **given):
    return function(quotes, results, **given)


def a_ledger(events, quotes, results, **given):
    signals = ov.value_signals(quotes, "sharp", min_edge=0.0)
    return ov.backtest(signals, results, closing=ov.closing_lines(quotes, "sharp"), **given)


def on_the_ledger(function, events, quotes, results, **given):
    return function(a_ledger(events, quotes, results), **given)


def on_the_ledger_and_quotes(function, events, quotes, results, **given):
    return function(a_ledger(events, quotes, results), quotes, **given)


def on_parts(function, events, quotes, results, **given):
    ledger = a_ledger(events, quotes, results)
    return function({name: ledger[ledger["outcome"] == name] for name in ("home", "away")}, **given)


def baselines(events, quotes, results):
    return ov.baselines(a_ledger(events, quotes, results), quotes, results, simulations=100)


def delays(events, quotes, results):
    signals = ov.value_signals(quotes, "sharp", min_edge=0.0)
    return ov.evaluation.delay_curve(signals, quotes, results, (0, 60), simulations=100)


def whole_sweep(events, quotes, results):
    space = {"min_edge": [0.0, 0.02], "staking": ["flat", "kelly"], "reference": "sharp"}
    found = ov.sweep(quotes, space, results, ov.sweeps.SweepSettings(judge="sharp", simulations=100))
    return found.table.drop(columns=[name for name in found.table if found.table[name].dtype == object])


P, F, S, B, E = ov.prices, ov.forecasts, ov.signals, ov.betting, ov.evaluation
ACCOUNTS = [ov.Account("soft_1", bankroll=200, max_stake=8), ov.Account("soft_2", commission=0.02)]
RULES = {
    "flat": {},
    "shares": {"stake": ov.Kelly(0.5), "accounts": ACCOUNTS, "execution": ov.Execution(refusal=0.2)},
    "together": {"stake": B.SimultaneousKelly(0.5), "commission": {"soft_1": 0.05}},
}
QUICK = {"simulations": 100}
BETTING = {
    **{f"ledger, {name}": partial(a_ledger, **given) for name, given in RULES.items()},
    "evaluation": partial(on_the_ledger, ov.evaluate, **QUICK),
    "luck": partial(on_the_ledger, ov.luck_test, **QUICK),
    "luck, staked again": partial(on_the_ledger, ov.luck_test, stake=ov.Flat(10), **QUICK),
    "band of luck": partial(on_the_ledger, E.luck_band, **QUICK),
    **{
        f"breakdown by {by}": partial(on_the_ledger, ov.breakdown, by=by, **QUICK)
        for by in ("bookmaker", "outcome", "price_band")
    },
    "parts": partial(on_the_ledger, E.compare_parts, by="bookmaker", **QUICK),
    "compared": partial(on_parts, ov.compare_ledgers, **QUICK),
    "compared within": partial(on_parts, E.compare_within, by="bookmaker", **QUICK),
    "search, days": partial(on_parts, ov.correct_for_search, **QUICK),
    "search, market": partial(on_parts, ov.correct_for_search, histories="market", **QUICK),
    "without best": partial(on_the_ledger, E.without_best),
    "haircut": partial(on_the_ledger, E.haircut, **QUICK),
    "suspicious": partial(on_the_ledger, E.suspicious),
    "closes": partial(on_the_ledger_and_quotes, ov.clv_by_close, **QUICK),
    "at each price": partial(on_the_ledger_and_quotes, E.at_each_price, **QUICK),
    "wrong prices": partial(on_the_ledger_and_quotes, E.wrong_prices, least=1),
    "always quoted": partial(on_the_ledger_and_quotes, E.always_quoted),
    "missing odds": partial(on_quotes, E.missing_odds),
    "methods": partial(
        on_quotes_and_results, E.across_methods, reference="sharp", methods=("power",), **QUICK
    ),
    "baselines": baselines,
    "delays": delays,
    "sweep": whole_sweep,
}
CALLS = {
    **{
        f"value against {reference}": partial(
            on_quotes, S.value_signals, reference=reference, min_edge=0.0, weights=WEIGHTS
        )
        for reference in P.REFERENCES
        if reference not in ("close", "exchange_mid")
    },
    "value at the close": partial(on_quotes, S.value_signals, reference="sharp", at_close=True),
    "consensus": partial(on_quotes, S.consensus_signals, margin=0.03, least=2),
    "seed": partial(on_quotes, S.seed_signals, min_mean=1.5, max_spread=0.4),
    "blind": partial(on_quotes, S.blind_signals, bookmaker="soft_1", outcome="home"),
    "arbitrage": partial(on_quotes, S.arbitrage_signals, min_return=-0.02),
    "middles": partial(on_quotes, S.middle_signals, max_break_even=0.5),
    "closing lines": partial(on_quotes, P.closing_lines, reference="sharp"),
    "closing quotes": partial(on_quotes, P.closing_quotes),
    "complete markets": partial(on_quotes, P.complete_markets),
    "fair": partial(on_quotes, P.fair_probabilities),
    "lowest margin": partial(on_quotes, P.lowest_margin),
    "relative prices": partial(on_quotes, P.relative_prices),
    "velocity": partial(on_quotes, P.velocity, window_h=12),
    "steam": partial(on_quotes, P.steam_moves, window_min=720, least_books=2),
    "reverse": partial(on_quotes, P.reverse_moves, window_min=720),
    "stale": partial(on_quotes, P.stale_prices, least_move=0.01, least_books=2),
    "reactions": partial(on_quotes, P.reactions, leader="sharp", window_min=720),
    "early and close": partial(on_quotes, F.early_and_close),
    "market": partial(on_quotes, F.market_probabilities, reference="sharp"),
    "closing market": partial(on_quotes, F.market_probabilities, reference="consensus", at_close=True),
    "as bookmakers": partial(on_forecasts, F.as_bookmakers, common=True),
    "forecasts compared": partial(on_forecasts, compared, reference="sharp", by="season"),
    "scores against sharp": partial(on_the_closing, F.probability_scores, reference="sharp"),
    "scores against consensus": partial(on_the_closing, F.probability_scores, reference="consensus"),
    "score table": partial(on_quotes_and_results, F.score_table, methods=("power", "shin")),
    "score table of seasons": partial(
        on_quotes_and_results, F.score_table, by=("season",), reference="close"
    ),
    "reliability": partial(on_quotes_and_results, F.reliability, bins=4),
    "calibration": partial(on_quotes_and_results, F.calibration_table, bins=4),
    "long shots": partial(on_quotes_and_results, F.longshot_bias, by=("outcome",)),
    "weights": partial(on_quotes_and_results, F.past_accuracy_weights, reference="sharp", blocks=3, least=10),
    "market model": partial(by_a_model, F.MarketModel()),
    "goal model": partial(by_a_model, F.DixonColes()),
    "ratings": partial(by_a_model, F.Elo()),
    **BETTING,
}
# what the example has none of: an exchange's lay prices, several lines, markets in part
ON_MANY_MARKETS = (
    *("arbitrage", "middles", "closing lines", "closing quotes", "complete markets", "fair"),
    *("relative prices", "velocity", "steam", "reverse", "stale", "early and close", "score table"),
    *("reliability", "consensus", "seed", "value against consensus", "value at the close"),
)


def decoded(found: pd.DataFrame) -> pd.DataFrame:
    """The table with text in place of categories, its index as a column."""
    found = found.reset_index() if any(found.index.names) else found
    kinds = found.dtypes.items()
    return found.astype({name: "str" for name, kind in kinds if isinstance(kind, pd.CategoricalDtype)})


def assert_the_same_encoded(call, frames, encoding):
    plain = call(**frames)
    encoded = call(**{name: encoding(frame) for name, frame in frames.items()})

    if not isinstance(plain, pd.DataFrame):
        assert plain == encoded
        return
    pd.testing.assert_frame_equal(decoded(plain), decoded(encoded), check_exact=True)
    if "event_id" in plain and len(plain):
        assert isinstance(encoded["event_id"].dtype, pd.CategoricalDtype)
        assert not isinstance(plain["event_id"].dtype, pd.CategoricalDtype)


@pytest.mark.parametrize("encoding", [encode, with_more_words])
@pytest.mark.parametrize("name", CALLS)
def test_text_and_its_encoding_give_the_same(name, encoding):
    assert_the_same_encoded(CALLS[name], SAMPLE, encoding)


@pytest.mark.parametrize("encoding", [encode, with_more_words])
@pytest.mark.parametrize("name", ON_MANY_MARKETS)
def test_text_and_its_encoding_give_the_same_on_many_markets(name, encoding):
    rows = random_market(3, events=6, polls=14, noise=0.09)
    rows = rows.assign(bookmaker=rows["bookmaker"].replace("pinnacle", "sharp"))
    ids = np.sort(rows["event_id"].unique())
    scores = pd.DataFrame({"event_id": ids, "home_score": np.arange(6.0) % 3, "away_score": 1.0})
    assert rows["market"].nunique() == 4

    assert_the_same_encoded(CALLS[name], {"events": EVENTS, "quotes": rows, "results": scores}, encoding)
