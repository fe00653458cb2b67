"""The sentence of a report holds the numbers of its tables, whatever there is of them."""

import pandas as pd
import pytest

import overround as ov
from overround import display
from overround.measure import Change


@pytest.fixture(scope="module")
def example():
    return ov.example()


@pytest.fixture(scope="module")
def scores(example):
    last = ov.fair_probabilities(ov.prices.closing_quotes(example.quotes))
    return ov.forecasts.probability_scores(last, example.results, "sharp")


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_signals_are_told_by_match_with_the_error_of_their_edge(example, scores):
    signals = ov.datasets.example_signals()
    edges = signals.groupby("event_id")["edge"].mean()

    text = plain(display.signals_verdict(signals, example.quotes, scores, "sharp"))

    assert text.startswith(f"{len(signals)} bets on {len(edges)} of 100 matches, ")
    assert f"mean edge {100 * edges.mean():.1f} % (± {196 * edges.sem():.1f} %) against sharp; " in text
    assert text.endswith("no last price is more accurate than its own beyond noise.")
    better = scores.assign(gap=-1.0, p_adjusted=[0.01, 0.04, 0.05, 0.5])
    named = ", ".join(better.index[:2])
    told = display.signals_verdict(signals, example.quotes, better, "sharp")
    assert told.endswith(f"more accurate in the end: {named}.")


@pytest.mark.parametrize(
    ("gaps", "words"),
    [
        ([0.0, 0.1, 0.1, -0.1], "sharper than sharp beyond noise: soft_3; 2 are duller"),
        ([0.0, 0.1, 0.0, 0.0], "nobody is sharper than sharp beyond noise; one is duller"),
        ([0.0, 0.0, 0.0, 0.0], "nobody is sharper than sharp beyond noise; none is duller"),
    ],
)
def test_bookmakers_are_told_apart_beyond_noise_only(scores, gaps, words):
    names = ["sharp", "soft_1", "soft_2", "soft_3"]
    told = scores.reindex(names).assign(gap=gaps, p_adjusted=0.01)
    noise = told.assign(p_adjusted=0.2)
    average = pd.concat([told, told.tail(1).rename(index={"soft_3": "market_average"})])

    text = display.bookmakers_verdict(told, "sharp")

    assert text.startswith(f"Of 4 bookmakers' last prices {words} (by log loss")
    assert "nobody is sharper" in display.bookmakers_verdict(noise, "sharp")
    assert display.bookmakers_verdict(average, "sharp") == text


def calls(*cached):
    at = pd.Timestamp("2025-03-01", tz="UTC")
    row = {"endpoint": "/odds", "bytes": 9, "latency_s": 0.1, "status": 200, "at": at}
    return pd.DataFrame([{**row, "from_cache": one} for one in cached])


def test_a_collection_is_told_with_its_longest_gap_and_its_calls(example):
    looks = ov.collection.observations(example.quotes, calls(True))
    gap = pd.DataFrame({"hours": [5.5], "competition": ["E0"]})

    text = plain(display.collection_verdict(looks, gap, 6_000, calls(True, False)))

    assert text.startswith(f"{len(looks)} looks at 1 competitions; the longest gap is 5 h 30 min at E0; ")
    assert text.endswith("6,000 prices; 50 % of 2 calls answered by the cache, 0 failed.")
    assert "; no gap; " in display.collection_verdict(looks, gap.head(0), 6_000, calls(True))


def test_a_pipelines_cost_is_told_against_the_one_before():
    costs = pd.DataFrame({"wall_s": [2.0, 1.0], "peak_mb": [200.0, 250.0]}, index=["append", "read"])
    change = pd.DataFrame({"before": [4.0, 2.0], "after": [2.0, 1.0]})
    saved = Change("all", "own_s", 1.0, 0.5, 0.5, 0.45, 0.55, "better", 20, 0)

    text = display.cost_verdict(costs, change, saved)

    assert text.startswith("3.0 s in 2 stages, 250 MB at the highest; the longest is append with 2.0 s; ")
    assert "0.50 times the pipeline before in the stages of both. " in text
    assert text.endswith(f"against the naive: {saved.change()}.")
    assert "pipeline before" not in display.cost_verdict(costs, change.head(0), saved)
