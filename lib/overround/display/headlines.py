"""Key figures that open each kind of report: four to six, each with its uncertainty or a comparison."""

import numpy as np
import pandas as pd

from overround.display.elements import Html
from overround.display.tables import estimate, headline
from overround.evaluation.comparison import HIGHER, LOWER, by_significance
from overround.formatting import FORMATS, percent
from overround.measure.meter import request_figures
from overround.measure.paired import Change, largest
from overround.schema import NOT_AN_ACCOUNT
from overround.sweeps.result import Sweep
from overround.sweeps.selection import Choices, stability
from overround.sweeps.summary import SURE

_ENDS = ["value", "low", "high"]


def key_figures(evaluation: pd.DataFrame) -> Html:
    """The `headline` of a backtest.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> repr(ov.key_figures(ov.evaluate(ledger, simulations=500)))[:5]
    'Yield'
    """
    value = evaluation["value"]
    p, tried, needed = value["luck_p_corrected"], int(value["tried"]), value["bets_needed"]
    luck = "chance of this profit by luck alone"
    bets = f"at a mean price of {FORMATS['odds'](value['mean_price'])}" if value["bets"] else "none"
    return headline(
        estimate("Yield", *evaluation.loc["yield", _ENDS]),
        ("Profit", FORMATS["money"](value["profit"]), f"on {FORMATS['money'](value['staked'])} staked"),
        ("Luck test", _p(p), luck if tried == 1 else f"by luck alone, as the best of {tried:,} tried"),
        estimate("Closing-line value", *evaluation.loc["clv", _ENDS]),
        (
            "Deepest drawdown",
            percent(value["max_drawdown"]),
            f"of the peak; {percent(value['drawdown_95'], 0)} in the worst 5 % of paths",
        ),
        (
            "Bets",
            f"{int(value['bets']):,}",
            bets if np.isnan(needed) else f"{needed:,.0f} would tell this yield from zero",
        ),
    )


def signal_figures(
    signals: pd.DataFrame,
    quotes: pd.DataFrame,
    gain: pd.Series,
    *,
    steam: pd.DataFrame,
    stale: pd.DataFrame,
    arbitrages: pd.DataFrame,
) -> Html:
    """The `headline` of a strategy's signals.

    Parameters
    ----------
    signals, quotes : DataFrame
        The bets wanted, and the prices that they are from.
    gain : Series
        Row of `compare_ledgers`: the strategy against a simple rule.
    steam, stale, arbitrages : DataFrame
        Of `steam_moves`, `stale_prices` and `arbitrage_signals`.

    Examples
    --------
    >>> import overround as ov
    >>> quotes, signals = ov.example().quotes, ov.datasets.example_signals()
    >>> gain = ov.compare_ledgers(ov.datasets.example_ledgers(), simulations=200).iloc[1]
    >>> found = {"steam": signals.head(3), "stale": signals, "arbitrages": ov.arbitrage_signals(quotes)}
    >>> str(ov.display.signal_figures(signals, quotes, gain, **found)).split(";")[3]
    ' Steam moves 3 three bookmakers or more'
    """
    mean, error, matches = mean_edge(signals)
    timed = bool(quotes["observed_at"].notna().any())

    def moved(rows: pd.DataFrame, what: str) -> tuple[str, str]:
        return (f"{len(rows):,}", what) if timed else ("–", "these prices have no clock times")

    return headline(
        ("Bets wanted", f"{len(signals):,}", f"on {matches:,} of {quotes['event_id'].nunique():,} matches"),
        (
            "Mean edge",
            percent(mean),
            "too few to tell" if np.isnan(error) else f"± {percent(error)}, one a match",
        ),
        estimate("Yield above simple rule, points", *gain[["difference", "low", "high"]], form="points"),
        ("Steam moves", *moved(steam, "three bookmakers or more")),
        ("Stale prices", *moved(stale, "left behind by the others")),
        ("Arbitrages", f"{arbitrages['arbitrage'].nunique():,}", "profit whatever happens"),
    )


def mean_edge(signals: pd.DataFrame) -> tuple[float, float, int]:
    """Mean edge over matches, half the width of its 95 % interval, and the number of matches."""
    edges = signals.groupby("event_id")["edge"].mean()
    return edges.mean(), 1.96 * edges.sem(), len(edges)


def bookmaker_figures(scores: pd.DataFrame, reference: str) -> Html:
    """The `headline` of bookmakers' accuracy, as `probability_scores` returns it, against the reference's.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> last = ov.prices.closing_quotes(quotes)
    >>> scores = ov.forecasts.probability_scores(ov.fair_probabilities(last), results, "sharp")
    >>> str(ov.display.bookmaker_figures(scores, "sharp")).split(";")[0]
    'Bookmakers 4 on 100 matches at most'
    """
    books = scores.drop(list(NOT_AN_ACCOUNT), errors="ignore")
    own = scores.reindex([reference]).iloc[0]
    gaps = books.drop(reference, errors="ignore")["gap"].dropna()
    rivals = {"Nearest rival": gaps.idxmin(), "Farthest rival": gaps.idxmax()} if len(gaps) else {}

    def thousandths(value: float, sign: str = "") -> str:
        return f"{1000 * value:{sign}.1f}".replace("-", "−")

    def against(name: str) -> tuple[str, str]:
        gap, low, high = scores.loc[name, ["gap", "low", "high"]]
        span = f"{thousandths(low)} to {thousandths(high)}"
        return thousandths(gap, "+"), f"{name}: {span} thousandths of log loss"

    return headline(
        ("Bookmakers", f"{len(books):,}", f"on {scores['matches'].max():,.0f} matches at most"),
        (f"Log loss of {reference}", f"{own['log_loss']:.4f}", f"on {own['matches']:,.0f} matches"),
        *((title, *against(name)) for title, name in rivals.items()),
        ("Lowest margin", percent(books["overround"].min() - 1), str(books["overround"].idxmin())),
    )


def comparison_figures(comparison: pd.DataFrame) -> Html:
    """The `headline` of `compare_ledgers`: its most significant difference.

    Examples
    --------
    >>> import overround as ov
    >>> comparison = ov.compare_ledgers(ov.datasets.example_ledgers(), simulations=500)
    >>> print(str(ov.display.comparison_figures(comparison)).split(",")[0])
    Difference in yield
    """
    first, others = comparison.iloc[0], by_significance(comparison.dropna(subset=["difference"]))
    if others.empty:
        levels = [
            (f"Yield of {name}", percent(row["yield"], sign=True), f"{int(row['bets']):,} bets")
            for name, row in comparison.iterrows()
        ]
        return headline(
            *levels[:4],
            ("Common match days", "0", "a run without bets has none"),
            ("Beyond noise", "0", "of 0 compared"),
        )
    best, several = others.iloc[0], len(others) > 1
    name, gap, span = estimate(
        "Difference in yield, points", *best[["difference", "low", "high"]], form="points"
    )
    luck = "chance of such a gap between equals"
    closing = best[["clv_difference", "clv_low", "clv_high"]]
    yields = f"against {percent(first['yield'], sign=True)} of {comparison.index[0]}"
    bets = f"{int(best['bets']):,} bets against {int(first['bets']):,}"
    return headline(
        (name, gap, f"{span}, {best.name}, the surest of {len(others)}" if several else span),
        ("Luck test", _p(best["p_adjusted"]), f"{luck}, allowing for all" if several else luck),
        estimate("Difference in closing line, points", *closing, form="points"),
        ("Yields", percent(best["yield"], sign=True), yields),
        ("Common match days", f"{best['common_days']:,.0f}", bets),
        ("Beyond noise", f"{others['verdict'].isin((HIGHER, LOWER)).sum()}", f"of {len(others)} compared"),
    )


def collection_figures(
    looks: pd.DataFrame, regularity: pd.DataFrame, gaps: pd.DataFrame, requests: pd.DataFrame
) -> Html:
    """The `headline` of a collection.

    Parameters
    ----------
    looks, regularity, gaps : DataFrame
        Of `overround.collection.observations`, `regularity` and `gaps`.
    requests : DataFrame
        Rows of the table `requests`.

    Examples
    --------
    >>> import overround as ov
    >>> requests = ov.Store("no such store").read("requests")
    >>> looks = ov.collection.observations(ov.example().quotes, requests)
    >>> regularity, gaps = ov.collection.regularity(looks), ov.collection.gaps(looks)
    >>> found = ov.display.collection_figures(looks, regularity, gaps, requests)
    >>> str(found).split(";")[3]
    ' Answered by cache – of 0 calls'
    """
    calls = request_figures(requests.to_dict("records"))
    ms = calls.get("latency_p95_ms", np.nan)
    return headline(
        ("Looks", f"{len(looks):,}", f"at {len(regularity):,} competitions"),
        (
            "Least covered",
            percent(regularity["covered"].min(), 0),
            "of the time between its first look and its last",
        ),
        ("Longest gap", *(longest_gap(gaps) or ("none", "no look was late"))),
        (
            "Answered by cache",
            percent(calls.get("cache_hit_share", np.nan), 0),
            f"of {len(requests):,} calls",
        ),
        ("95 % of calls below", "–" if np.isnan(ms) else f"{ms:,.0f} ms", "where the provider was asked"),
        ("Failed calls", f"{int((requests['status'] != 200).sum()):,}", f"of {len(requests):,}"),
    )


def longest_gap(gaps: pd.DataFrame) -> tuple[str, str] | None:
    """Length and competition of the first of `overround.collection.gaps`."""
    return None if gaps.empty else (FORMATS["hours"](gaps["hours"].iloc[0]), str(gaps["competition"].iloc[0]))


def cost_figures(
    costs: pd.DataFrame, before: pd.DataFrame, calls: pd.DataFrame, saved: Change, slower: int, judged: int
) -> Html:
    """The `headline` of a pipeline's cost.

    Parameters
    ----------
    costs, before : DataFrame
        Of `overround.runs.history.stage_costs` and `cost_change`.
    calls : DataFrame
        Rows of the table `requests`.
    saved : Change
        The library's way against the naive one, over all experiments.
    slower, judged : int
        Stages that are slower than usual, and stages with enough runs to tell.

    Examples
    --------
    >>> import overround as ov
    >>> import pandas as pd
    >>> costs = pd.DataFrame({"wall_s": [2.0], "peak_mb": [200.0]}, index=["append"])
    >>> saved = ov.measure.Change("all", "own_s", 1.0, 0.5, 0.5, 0.45, 0.55, "better", 20, 0)
    >>> before, calls = pd.DataFrame({"before": [], "after": []}), pd.DataFrame({"from_cache": [True, False]})
    >>> str(ov.display.cost_figures(costs, before, calls, saved, slower=0, judged=1)).split(";")[0]
    'All stages 2.0 s no pipeline before it'
    """
    against = "no pipeline before it"
    if len(before):
        against = f"{FORMATS['ratio'](pipeline_ratio(before))} times the pipeline before"
    compiling = costs["compile_s"].sum() if "compile_s" in costs else 0.0
    if compiling >= 0.05:
        against = f"{compiling:,.1f} s of it compiling; {against}"
    wall, peak = costs["wall_s"], costs["peak_mb"]
    judging = f"of {judged:,} stages with enough runs to tell"
    return headline(
        ("All stages", f"{wall.sum():,.1f} s", against),
        ("Longest stage", f"{wall.max():,.1f} s", str(wall.idxmax())),
        ("Highest memory", f"{peak.max():,.0f} MB", str(peak.idxmax())),
        estimate("Library against naive", saved.ratio - 1, saved.low - 1, saved.high - 1),
        ("From the cache", percent(calls["from_cache"].mean(), 0), f"of {len(calls):,} calls"),
        ("Slower than usual", f"{slower:,}" if judged else "–", judging),
    )


def pipeline_ratio(change: pd.DataFrame) -> float:
    """Time of a pipeline in multiples of the one before, over the stages of both."""
    return change["after"].sum() / change["before"].sum()


def change_figures(changes: pd.DataFrame, together: Change) -> Html:
    """The `headline` of two revisions: `compare_all` of their samples, and all workloads together.

    Examples
    --------
    >>> import overround as ov
    >>> import pandas as pd
    >>> ratio = {"ratio": 0.9, "low": 0.85, "high": 0.95}
    >>> found = pd.DataFrame({"workload": ["odds"], **ratio, "verdict": "better"})
    >>> together = ov.measure.Change("all", "own_s", 1.0, 0.9, 0.9, 0.85, 0.95, "better", 20, 0)
    >>> print(str(ov.display.change_figures(found.assign(pairs=20, set_aside=0), together)).split("; ")[-1])
    All together −10.0 % −15.0 % to −5.0 %
    """
    most = largest(changes)
    pairs = f"{changes['pairs'].min():,} pairs or more, {changes['set_aside'].sum():,} set aside"

    def counted(verdict: str) -> tuple[str, str, str]:
        names = changes.loc[changes["verdict"] == verdict, "workload"].tolist()
        more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
        return verdict.capitalize(), f"{len(names):,}", ", ".join(names[:3]) + more

    return headline(
        ("Workloads", f"{len(changes):,}", pairs),
        *map(counted, ("worse", "better", "within noise")),
        estimate(f"Largest change: {most['workload']}", *(most[["ratio", "low", "high"]].astype(float) - 1)),
        estimate("All together", together.ratio - 1, together.low - 1, together.high - 1),
    )


def iteration_figures(
    facts: pd.DataFrame, growth: pd.DataFrame, changes: pd.DataFrame, whole: Change
) -> Html:
    """The `headline` of iterations: of `overround.perf.experiments.iterations`, its stages, and all.

    Examples
    --------
    >>> import overround as ov
    >>> import pandas as pd
    >>> facts = pd.DataFrame({"store": ["empty", "filled"], "found": "a", "bets": 9, "new": [80, 0]})
    >>> facts["memory_mb"] = 210.0
    >>> growth = pd.DataFrame({"kB, first": [100.0], "kB, last": [140.0]})
    >>> stages = pd.DataFrame({"workload": ["backtest"], "verdict": ["within noise"]})
    >>> whole = ov.measure.Change("all", "own_s", 1.0, 1.0, 1.0, 0.95, 1.05, "within noise", 5, 0)
    >>> print(str(ov.display.iteration_figures(facts, growth, stages, whole)).split("; ")[1])
    Different results 0 9 bets each, to the last bit
    """
    slower = changes.loc[changes["verdict"] == "worse", "workload"].tolist()
    added = (growth["kB, last"] - growth["kB, first"]).sum() / max(1, len(facts) - 1)
    first = facts.iloc[0]
    empty, again = (facts["store"] == "empty").sum(), facts["new"].iloc[1:].sum()
    kept = f"bets, measurements, calls, logs; {facts['memory_mb'].iloc[-1]:,.0f} MB of memory at the end"
    return headline(
        ("Iterations", f"{len(facts):,}", f"{empty:,} from an empty store on, the others on the filled one"),
        (
            "Different results",
            f"{facts['found'].nunique() - 1:,}",
            f"{first['bets']:,} bets each, to the last bit",
        ),
        ("Rows stored again", f"{again:,}", f"of {first['new']:,} collected"),
        estimate("An iteration on the filled store", whole.ratio - 1, whole.low - 1, whole.high - 1),
        ("Slower stages", f"{len(slower):,}", ", ".join(slower[:3]) or f"of {len(changes):,}, beyond noise"),
        ("Room an iteration", f"{added:,.0f} kB", kept),
    )


def sweep_key_figures(sweep: Sweep, choices: Choices) -> Html:
    """The `headline` of a sweep.

    Examples
    --------
    >>> import overround as ov
    >>> swept = ov.datasets.example_sweep()
    >>> choices = ov.sweeps.walk_forward_choice(swept, every_days=7, least_days=2)
    >>> str(ov.display.sweep_key_figures(swept, choices)).split(";")[0]
    'Variants tried 3 3 of them bet'
    """
    table = sweep.table
    best, near = (rows.loc[table.attrs["best"]] for rows in (table, stability(sweep)))
    # the luck test decides where closing lines allow it
    alone = "p" if np.isnan(best["luck_p_adjusted"]) else "luck_p"
    corrected = f"{alone}_adjusted"
    winning = "–"
    if near["neighbours"]:
        winning = f"{round(near['neighbours'] * near['neighbours_winning'])} of {int(near['neighbours'])}"
    of_best = "" if np.isnan(best["low"]) else f"{percent(best['low'])} to {percent(best['high'])}"
    of_picks = f"{percent(choices.low)} to {percent(choices.high)}"
    return headline(
        ("Variants tried", f"{sweep.tried:,}", f"{int((table['bets'] > 0).sum()):,} of them bet"),
        ("Yield of the best", percent(best["yield"], sign=True), of_best),
        ("Its p, corrected", FORMATS["p"](best[corrected]), f"{FORMATS['p'](best[alone])} alone"),
        ("Significant", f"{(table[corrected] <= SURE).sum():,}", f"of {sweep.tried:,}, all counted"),
        ("Neighbours win", winning, f"of the best; they yield {percent(near['neighbour_yield'])}"),
        (
            "Picked by the past",
            percent(choices.value, sign=True),
            "nothing would have been picked" if np.isnan(choices.low) else of_picks,
        ),
    )


def _p(p: float) -> str:
    return "–" if np.isnan(p) else f"p {FORMATS['p'](p)}"
