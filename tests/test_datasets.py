"""The invented league of `ov.example`: the same for everybody, and enough like a real one to try everything
on.
"""

import pandas as pd
import pytest

import overround as ov
from overround.encoding import encode
from overround.errors import ParameterError


def test_the_same_seed_is_the_same_league_and_another_one_another():
    first, second, other = ov.example(50), ov.example(50), ov.example(50, seed=8)

    for one, same in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(one, same)
    assert not first.quotes["price"].equals(other.quotes["price"])


def test_it_fits_the_store_and_comes_back_as_it_was(tmp_path):
    league, store = ov.example(40), ov.Store(tmp_path)

    for name, table in league._asdict().items():
        assert store.append(name, table).inserted == len(table)

    back = store.read("quotes").sort_values(
        ["collected_at", "event_id", "bookmaker", "outcome"], ignore_index=True
    )
    here = league.quotes.sort_values(["collected_at", "event_id", "bookmaker", "outcome"], ignore_index=True)
    pd.testing.assert_frame_equal(back[list(here)], encode(here), check_dtype=False)


def test_the_sharp_bookmaker_knows_more_and_the_soft_ones_can_be_beaten():
    events, quotes, results = ov.example(3_000)
    signals, closing = ov.value_signals(quotes, "sharp"), ov.closing_lines(quotes, "sharp")

    ledger = ov.backtest(signals, results, stake=ov.Flat(1), bankroll=10_000, closing=closing)

    assert (
        ov.forecasts.probability_scores(
            ov.fair_probabilities(ov.prices.closing_quotes(quotes)), results, "sharp"
        ).index[0]
        == "sharp"
    )
    assert ledger["clv"].mean() > 0.01
    assert 300 < len(ledger) < 9_000
    assert events.groupby("season").size().tolist() == [380] * 7 + [340]


def test_nobody_plays_twice_at_a_time_or_against_himself():
    events = ov.example(380).events

    assert (events["home"] != events["away"]).all()
    teams = pd.concat(
        [events[["starts_at", side]].set_axis(["starts_at", "team"], axis=1) for side in ("home", "away")]
    )
    assert not teams.duplicated().any()


@pytest.mark.parametrize("wrong", [{"matches": 0}, {"bookmakers": 0}, {"looks": -1}])
def test_a_league_of_nothing_is_a_sentence(wrong):
    with pytest.raises(ParameterError, match=f"{next(iter(wrong))} is .*; at least 1 is needed"):
        ov.example(**wrong)


def test_the_examples_made_of_it_are_what_the_steps_of_the_workbench_make():
    _, quotes, results = ov.example()
    signals, ledger = ov.datasets.example_signals(), ov.datasets.example_ledger()

    pd.testing.assert_frame_equal(signals, ov.value_signals(quotes, "sharp"))
    pd.testing.assert_frame_equal(
        ledger, ov.backtest(signals, results, closing=ov.closing_lines(quotes, "sharp"))
    )
    assert [len(bets) for bets in ov.datasets.example_ledgers().values()] == [
        len(ov.backtest(ov.value_signals(quotes, "sharp", min_edge=edge), results)) for edge in (0.01, 0.03)
    ]
    assert ov.datasets.example_sweep().table["min_edge"].tolist() == [0.01, 0.02, 0.03]
