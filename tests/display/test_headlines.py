"""The strips with which reports open: each figure is the one of its table, with its uncertainty; four to six
of them.
"""

import re
from html import unescape

import numpy as np
import pandas as pd
import pytest

import overround as ov
from overround import compare_ledgers, evaluate, key_figures
from overround.display import (
    bookmaker_figures,
    change_figures,
    collection_figures,
    comparison_figures,
    comparison_table,
    cost_figures,
    estimate,
    iteration_figures,
    signal_figures,
)
from overround.measure.paired import Change, compare, compare_all
from tests.support.ledgers import at_better_prices, ledger_of


def figures(strip):
    """Name -> (figure, what stands below it)."""
    found = re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)(?:<small>([^<]*)</small>)?</dd>", strip.html)
    assert 4 <= len(found) <= 6
    texts = [[unescape(text).replace("\N{NO-BREAK SPACE}", " ") for text in one] for one in found]
    return {name: (big, small) for name, big, small in texts}


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ((0.0213, -0.004, 0.046), ("+2.1 %", "−0.4 % to 4.6 %")),
        ((-0.01, -0.02, -0.001), ("−1.0 %", "−2.0 % to −0.1 %")),
        ((0.01, np.nan, np.nan), ("+1.0 %", "no interval")),
        ((np.nan, np.nan, np.nan), ("–", "no interval")),
    ],
)
def test_an_estimate_is_written_with_its_interval(given, written):
    name, big, small = estimate("Yield", *given)

    assert (name, big.replace("\N{NO-BREAK SPACE}", " "), small.replace("\N{NO-BREAK SPACE}", " ")) == (
        "Yield",
        *written,
    )


def test_an_estimate_may_be_of_another_unit_and_without_a_sign():
    assert estimate("Price", 2.5, 2.4, 2.6, form="odds", sign=False) == ("Price", "2.50", "2.40 to 2.60")


def test_a_comparison_opens_with_its_surest_difference():
    base = ledger_of(3_000, seed=7)
    sides = {"base": base, "wild": base.iloc[::30], "better": at_better_prices(base, 0.05)}
    table = compare_ledgers(sides, simulations=1_000)
    row = table.loc["better"]

    found = figures(comparison_figures(table))

    assert found["Difference in yield, points"] == (
        f"+{100 * row['difference']:.1f}",
        f"{100 * row['low']:.1f} to {100 * row['high']:.1f}, better, the surest of 2",
    )
    assert found["Luck test"][0] == (
        "p < 0.001" if row["p_adjusted"] < 0.001 else f"p {row['p_adjusted']:.3f}"
    )
    assert found["Difference in closing line, points"] == ("+5.0", "5.0 to 5.0")
    assert found["Common match days"] == ("600", "3,000 bets against 3,000")
    assert found["Beyond noise"] == ("1", "of 2 compared")


def test_a_comparison_with_a_run_without_bets_says_what_there_is():
    base = ledger_of(100, seed=1)
    sides = {"base": base, "none": base.head(0), "nothing": base.head(0), "void": base.head(0)}

    found = figures(comparison_figures(compare_ledgers(sides, simulations=100)))

    assert found["Yield of none"] == ("–", "0 bets")
    assert found["Yield of base"][1] == "100 bets"


def test_a_table_of_differences_is_in_the_order_of_their_significance_and_marks_it_without_colour():
    base = ledger_of(3_000, seed=7)
    sides = {
        "base": base,
        "wild": base.iloc[::30].assign(profit=lambda bets: bets["profit"] + 0.1),
        "worse": at_better_prices(base, -0.05),
    }

    html = comparison_table(compare_ledgers(sides, simulations=500)).html

    rows = re.findall(r"<tr( class=\"ov-strong\")?><th scope=\"row\">(\w+)</th><td>([^<]+)</td>", html)
    assert rows == [
        ("", "base", "baseline"),
        (' class="ov-strong"', "worse", "▼\N{NO-BREAK SPACE}lower"),
        ("", "wild", "within\N{NO-BREAK SPACE}noise"),
    ]
    assert re.search(r">−[\d.]+ \(−[\d.]+ to −[\d.]+\)<", html)
    assert ">difference, points<" in html
    assert "p, corrected" in html


def samples(workload, factors, n=8):
    rng = np.random.default_rng(1)
    rows = [
        {
            "workload": workload,
            "pair": pair,
            "side": side,
            "wall_s": factor * rng.uniform(0.99, 1.01),
            "calibration_s": 1.0,
        }
        for pair in range(n)
        for side, factor in zip("AB", factors, strict=True)
    ]
    return pd.DataFrame(rows)


def test_the_cost_of_a_pipeline_opens_with_its_total_against_the_one_before():
    costs = pd.DataFrame(
        {"wall_s": [3.0, 1.5], "peak_mb": [100.0, 250.0]}, index=["collect: fetch", "backtest: luck"]
    )
    before = pd.DataFrame({"before": [4.0], "after": [3.0]})
    calls = pd.DataFrame({"from_cache": [True, True, True, False]})
    saved = compare(samples("all", (10.0, 1.0)))

    found = figures(cost_figures(costs, before, calls, saved, 1, 9))

    assert found["All stages"] == ("4.5 s", "0.75 times the pipeline before")
    assert found["Longest stage"] == ("3.0 s", "collect: fetch")
    assert found["Highest memory"] == ("250 MB", "backtest: luck")
    assert found["Library against naive"][0] == f"−{100 * (1 - saved.ratio):.1f} %"
    assert (
        found["Library against naive"][1]
        == f"−{100 * (1 - saved.low):.1f} % to −{100 * (1 - saved.high):.1f} %"
    )
    assert found["From the cache"] == ("75 %", "of 4 calls")
    assert found["Slower than usual"] == ("1", "of 9 stages with enough runs to tell")

    first = figures(cost_figures(costs, before.head(0), calls.head(0), saved, 0, 0))
    assert first["All stages"][1] == "no pipeline before it"
    assert first["Slower than usual"] == ("–", "of 0 stages with enough runs to tell")

    cold = figures(cost_figures(costs.assign(compile_s=[np.nan, 1.25]), before, calls, saved, 1, 9))
    assert cold["All stages"] == ("4.5 s", "1.2 s of it compiling; 0.75 times the pipeline before")


def test_a_backtest_opens_with_what_it_would_take_to_tell_its_yield_from_zero():
    ledger = ledger_of(3_000, seed=7, edge=0.1)
    losing = at_better_prices(ledger, -0.1)

    won, lost = (figures(key_figures(evaluate(one, simulations=200)))["Bets"] for one in (ledger, losing))

    assert re.fullmatch(r"[\d,]+ would tell this yield from zero", won[1])
    assert lost == ("3,000", f"at a mean price of {ledger['price'].mean():.2f}")


def test_two_revisions_open_with_what_is_worse_and_with_all_together():
    taken = pd.concat(
        [samples("store", (1.0, 1.5)), samples("signals", (1.0, 0.5)), samples("fetch", (1.0, 1.0))],
        ignore_index=True,
    )
    changes = compare_all(taken, ("wall_s",))
    together = compare(
        taken.groupby(["pair", "side"], as_index=False).agg({"wall_s": "sum", "calibration_s": "median"})
    )

    found = figures(change_figures(changes, together))

    assert found["Workloads"] == ("3", "8 pairs or more, 0 set aside")
    assert [found[name] for name in ("Worse", "Better", "Within noise")] == [
        ("1", "store"),
        ("1", "signals"),
        ("1", "fetch"),
    ]
    assert found["Largest change: signals"][0].startswith("−50.") or found["Largest change: signals"][
        0
    ].startswith("−49.")
    assert found["All together"][0] in (
        "+0.0 %",
        "−0.0 %",
        "+0.1 %",
        "−0.1 %",
        "+0.2 %",
        "−0.2 %",
        "+0.3 %",
        "−0.3 %",
    )


def test_iterations_open_with_what_differed_was_doubled_or_became_slower():
    facts = pd.DataFrame(
        {
            "store": ["empty", "empty", "filled", "filled"],
            "found": [1, 1, 1, 2],
            "bets": 10,
            "new": [30, 0, 4, 0],
            "memory_mb": [300.0, 310, 312, 311],
        }
    )
    growth = pd.DataFrame({"kB, first": [10.0, 5.0], "kB, last": [40.0, 5.0]})
    rows = [("keep", "worse", 1.5), ("read", "within noise", 1.0)]
    changes = pd.DataFrame(
        [{"workload": name, "verdict": verdict, "ratio": ratio} for name, verdict, ratio in rows]
    )
    whole = Change("", "own_s", 1.0, 1.02, 1.02, 0.9, 1.1, "within noise", 5, 0)

    found = figures(iteration_figures(facts, growth, changes, whole))

    assert found["Iterations"] == ("4", "2 from an empty store on, the others on the filled one")
    assert found["Different results"][0] == "1"
    assert found["Rows stored again"] == ("4", "of 30 collected")
    assert found["Slower stages"] == ("1", "keep")
    assert found["Room an iteration"][0] == "10 kB"


def test_signals_open_with_their_edge_by_match_and_what_else_was_found():
    quotes, signals = ov.example().quotes, ov.datasets.example_signals()
    gain = compare_ledgers(ov.datasets.example_ledgers(), simulations=200).iloc[1]
    found = {"steam": signals.head(3), "stale": signals.head(2), "arbitrages": ov.arbitrage_signals(quotes)}
    edges = signals.groupby("event_id")["edge"].mean()

    strip = figures(signal_figures(signals, quotes, gain, **found))
    untimed = quotes.assign(observed_at=pd.NaT)
    without = figures(signal_figures(signals.head(1), untimed, gain, **found))

    assert strip["Bets wanted"] == (f"{len(signals)}", f"on {len(edges)} of 100 matches")
    assert strip["Mean edge"] == (f"{100 * edges.mean():.1f} %", f"± {196 * edges.sem():.1f} %, one a match")
    assert strip["Yield above simple rule, points"] == (
        f"{100 * gain['difference']:+.1f}".replace("-", "−"),
        f"{100 * gain['low']:.1f} to {100 * gain['high']:.1f}".replace("-", "−"),
    )
    assert strip["Steam moves"] == ("3", "three bookmakers or more")
    assert strip["Stale prices"] == ("2", "left behind by the others")
    assert strip["Arbitrages"][0] == f"{found['arbitrages']['arbitrage'].nunique()}"
    assert without["Steam moves"] == without["Stale prices"] == ("–", "these prices have no clock times")
    assert without["Mean edge"][1] == "too few to tell"


def test_bookmakers_open_with_the_nearest_and_the_farthest_rival():
    _, quotes, results = ov.example()
    last = ov.fair_probabilities(ov.prices.closing_quotes(quotes))
    scores = ov.forecasts.probability_scores(last, results, "sharp")
    rivals = scores["gap"].drop("sharp")

    strip = figures(bookmaker_figures(scores, "sharp"))

    near = scores.loc[rivals.idxmin()]
    assert strip["Bookmakers"] == ("4", "on 100 matches at most")
    assert strip["Log loss of sharp"] == (f"{scores.loc['sharp', 'log_loss']:.4f}", "on 100 matches")
    assert strip["Nearest rival"] == (
        f"{1000 * near['gap']:+.1f}".replace("-", "−"),
        f"{rivals.idxmin()}: {1000 * near['low']:.1f} to {1000 * near['high']:.1f} thousandths of log loss".replace(
            "-", "−"
        ),
    )
    assert strip["Farthest rival"][1].startswith(f"{rivals.idxmax()}: ")
    assert strip["Lowest margin"][1] == scores["overround"].idxmin()


def test_a_collection_opens_with_its_gaps_and_its_calls():
    at = pd.Timestamp("2025-03-01", tz="UTC")
    looks = pd.DataFrame({"competition": "E0", "at": [at + pd.Timedelta(hours=h) for h in (0, 1, 2, 9)]})
    row = {"endpoint": "/odds", "bytes": 9, "latency_s": 0.1, "at": at}
    calls = pd.DataFrame([{**row, "from_cache": n > 0, "status": 200 + 300 * (n > 1)} for n in range(4)])
    regularity, gaps = ov.collection.regularity(looks), ov.collection.gaps(looks)

    strip = figures(collection_figures(looks, regularity, gaps, calls))
    quiet = figures(collection_figures(looks, regularity, gaps.head(0), calls.head(0)))

    assert strip["Looks"] == ("4", "at 1 competitions")
    assert strip["Longest gap"] == ("7 h 0 min", "E0")
    assert strip["Answered by cache"] == ("75 %", "of 4 calls")
    assert strip["95 % of calls below"][0] == "100 ms"
    assert strip["Failed calls"] == ("2", "of 4")
    assert quiet["Longest gap"] == ("none", "no look was late")
    assert quiet["95 % of calls below"][0] == "–"
