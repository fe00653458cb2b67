"""The strip of key figures with which each kind of report opens: four to six, each with its uncertainty or what it is measured against."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from overround.display.elements import Html
from overround.display.tables import estimate, headline
from overround.evaluation.comparison import HIGHER, LOWER, by_significance
from overround.formatting import FORMATS, percent
from overround.sweeps.result import Sweep
from overround.sweeps.selection import Choices, stability
from overround.sweeps.summary import SURE

if TYPE_CHECKING:
    from overround.measure.paired import Change


def key_figures(evaluation: pd.DataFrame) -> Html:
    """The `headline` of a backtest.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> ledger = ov.backtest(signals, results, closing=ov.closing_lines(quotes, "sharp"))
    >>> repr(ov.key_figures(ov.evaluate(ledger, simulations=500)))[:5]
    'Yield'
    """
    value = evaluation["value"]
    p, tried = value["luck_p_corrected"], int(value["tried"])
    needed, unsure = (
        value["bets_needed"],
        f"at a mean price of {FORMATS['odds'](value['mean_price'])}" if value["bets"] else "none",
    )
    return headline(
        estimate("Yield", *evaluation.loc["yield", ["value", "low", "high"]]),
        ("Profit", FORMATS["money"](value["profit"]), f"on {FORMATS['money'](value['staked'])} staked"),
        (
            "Luck test",
            "–" if np.isnan(p) else f"p {FORMATS['p'](p)}",
            "chance of this profit by luck alone"
            if tried == 1
            else f"by luck alone, as the best of {tried:,} tried",
        ),
        estimate("Closing-line value", *evaluation.loc["clv", ["value", "low", "high"]]),
        (
            "Deepest drawdown",
            percent(value["max_drawdown"]),
            f"of the peak; {percent(value['drawdown_95'], 0)} in the worst 5 % of paths",
        ),
        (
            "Bets",
            f"{int(value['bets']):,}",
            unsure if np.isnan(needed) else f"{needed:,.0f} would tell this yield from zero",
        ),
    )


def comparison_figures(comparison: pd.DataFrame) -> Html:
    """The `headline` of `compare_ledgers`: the surest difference, and what it is a difference of.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> edges = (0.01, 0.03)
    >>> ledgers = {f"{edge:.0%}": ov.backtest(ov.value_signals(quotes, "sharp", min_edge=edge), results) for edge in edges}
    >>> print(str(ov.display.comparison_figures(ov.compare_ledgers(ledgers, simulations=500))).split(",")[0])
    Difference in yield
    """
    first, others = comparison.iloc[0], by_significance(comparison.dropna(subset=["difference"]))
    if others.empty:
        levels = (
            (f"Yield of {name}", percent(row["yield"], sign=True), f"{int(row['bets']):,} bets")
            for name, row in comparison.iterrows()
        )
        return headline(
            *list(levels)[:4],
            ("Common match days", "0", "a run without bets has none"),
            ("Beyond noise", "0", "of 0 compared"),
        )
    best = others.iloc[0]
    clear = int(others["verdict"].isin((HIGHER, LOWER)).sum())
    among = "" if len(others) == 1 else f", {best.name}, the surest of {len(others)}"
    p = "–" if np.isnan(best["p_adjusted"]) else f"p {FORMATS['p'](best['p_adjusted'])}"
    name, gap, low_high = estimate(
        "Difference in yield, points", *best[["difference", "low", "high"]], form="points"
    )
    return headline(
        (name, gap, f"{low_high}{among}"),
        (
            "Luck test",
            p,
            "chance of such a gap between equals" + ("" if len(others) == 1 else ", allowing for all"),
        ),
        estimate(
            "Difference in closing line, points",
            *best[["clv_difference", "clv_low", "clv_high"]],
            form="points",
        ),
        (
            "Yields",
            percent(best["yield"], sign=True),
            f"against {percent(first['yield'], sign=True)} of {comparison.index[0]}",
        ),
        (
            "Common match days",
            f"{best['common_days']:,.0f}",
            f"{int(best['bets']):,} bets against {int(first['bets']):,}",
        ),
        ("Beyond noise", f"{clear}", f"of {len(others)} compared"),
    )


def cost_figures(
    costs: pd.DataFrame, before: pd.DataFrame, calls: pd.DataFrame, saved: "Change", slower: int, judged: int
) -> Html:
    """The `headline` of a pipeline's cost.

    Parameters
    ----------
    costs, before : DataFrame
        Of `overround.runs.history.stage_costs` and `cost_change`.
    calls : DataFrame
        Rows of the table `requests`.
    saved : Change
        The library's way against the naive, of all experiments together.
    slower, judged : int
        Stages that are slower than usual, of so many with enough runs to tell.

    Examples
    --------
    >>> import overround as ov
    >>> import pandas as pd
    >>> costs = pd.DataFrame({"wall_s": [2.0], "peak_mb": [200.0]}, index=["append"])
    >>> saved = ov.measure.Change("all", "own_s", 1.0, 0.5, 0.5, 0.45, 0.55, "better", 20, 0)
    >>> nothing = pd.DataFrame({"before": [], "after": []})
    >>> str(ov.display.cost_figures(costs, nothing, pd.DataFrame({"from_cache": [True, False]}), saved, slower=0, judged=1)).split(";")[0]
    'All stages 2.0 s no pipeline before it'
    """
    ratio = before["after"].sum() / before["before"].sum() if len(before) else np.nan
    against = (
        "no pipeline before it" if np.isnan(ratio) else f"{FORMATS['ratio'](ratio)} times the pipeline before"
    )
    compiling = costs["compile_s"].sum() if "compile_s" in costs else 0.0
    if compiling >= 0.05:
        against = f"{compiling:,.1f} s of it compiling; {against}"
    return headline(
        ("All stages", f"{costs['wall_s'].sum():,.1f} s", against),
        ("Longest stage", f"{costs['wall_s'].max():,.1f} s", str(costs["wall_s"].idxmax())),
        ("Highest memory", f"{costs['peak_mb'].max():,.0f} MB", str(costs["peak_mb"].idxmax())),
        estimate("Library against naive", saved.ratio - 1, saved.low - 1, saved.high - 1),
        ("From the cache", percent(calls["from_cache"].mean(), 0), f"of {len(calls):,} calls"),
        (
            "Slower than usual",
            f"{slower:,}" if judged else "–",
            f"of {judged:,} stages with enough runs to tell",
        ),
    )


def change_figures(changes: pd.DataFrame, together: "Change") -> Html:
    """The `headline` of two revisions: `overround.measure.paired.compare_all`, and the change of all workloads together.

    Examples
    --------
    >>> import overround as ov
    >>> import pandas as pd
    >>> found = {"workload": "odds", "ratio": 0.9, "low": 0.85, "high": 0.95, "verdict": "better", "pairs": 20, "set_aside": 0}
    >>> together = ov.measure.Change("all", "own_s", 1.0, 0.9, 0.9, 0.85, 0.95, "better", 20, 0)
    >>> print(str(ov.display.change_figures(pd.DataFrame([found]), together)).split("; ")[-1])
    All together −10.0 % −15.0 % to −5.0 %
    """
    from overround.measure.paired import largest

    most = largest(changes)
    pairs = f"{changes['pairs'].min():,} pairs or more, {changes['set_aside'].sum():,} set aside"

    def counted(verdict: str) -> tuple[str, str, str]:
        names = changes.loc[changes["verdict"] == verdict, "workload"].tolist()
        return (
            verdict.capitalize(),
            f"{len(names):,}",
            ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else ""),
        )

    return headline(
        ("Workloads", f"{len(changes):,}", pairs),
        *map(counted, ("worse", "better", "within noise")),
        estimate(f"Largest change: {most['workload']}", *(most[["ratio", "low", "high"]].astype(float) - 1)),
        estimate("All together", together.ratio - 1, together.low - 1, together.high - 1),
    )


def iteration_figures(
    facts: pd.DataFrame, growth: pd.DataFrame, changes: pd.DataFrame, whole: "Change"
) -> Html:
    """The `headline` of iterations: what `overround.perf.experiments.iterations` gives, `compare_all` of its stages, and of all together.

    Examples
    --------
    >>> import overround as ov
    >>> import pandas as pd
    >>> facts = pd.DataFrame({"store": ["empty", "filled"], "found": ["a", "a"], "bets": 9, "new": [80, 0], "memory_mb": 210.0})
    >>> growth = pd.DataFrame({"kB, first": [100.0], "kB, last": [140.0]})
    >>> stages = pd.DataFrame({"workload": ["backtest"], "verdict": ["within noise"]})
    >>> whole = ov.measure.Change("all", "own_s", 1.0, 1.0, 1.0, 0.95, 1.05, "within noise", 5, 0)
    >>> print(str(ov.display.iteration_figures(facts, growth, stages, whole)).split("; ")[1])
    Different results 0 9 bets each, to the last bit
    """
    slower = changes.loc[changes["verdict"] == "worse", "workload"].tolist()
    added = (growth["kB, last"] - growth["kB, first"]).sum() / max(1, len(facts) - 1)
    return headline(
        (
            "Iterations",
            f"{len(facts):,}",
            f"{(facts['store'] == 'empty').sum():,} from an empty store on, the others on the filled one",
        ),
        (
            "Different results",
            f"{len(set(facts['found'])) - 1:,}",
            f"{facts['bets'].iloc[0]:,} bets each, to the last bit",
        ),
        ("Rows stored again", f"{facts['new'].iloc[1:].sum():,}", f"of {facts['new'].iloc[0]:,} collected"),
        estimate("An iteration on the filled store", whole.ratio - 1, whole.low - 1, whole.high - 1),
        (
            "Slower stages",
            f"{len(slower):,}",
            ", ".join(slower[:3]) if slower else f"of {len(changes):,}, beyond noise",
        ),
        (
            "Room an iteration",
            f"{added:,.0f} kB",
            f"bets, measurements, calls, logs; {facts['memory_mb'].iloc[-1]:,.0f} MB of memory at the end",
        ),
    )


def sweep_key_figures(sweep: Sweep, choices: Choices) -> Html:
    """The `headline` of a sweep.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> swept = ov.sweep(quotes, {"reference": "sharp", "min_edge": [0.01, 0.02, 0.03], "staking": "flat"}, results)
    >>> choices = ov.sweeps.walk_forward_choice(swept, every_days=7, least_days=2)
    >>> str(ov.display.sweep_key_figures(swept, choices)).split(";")[0]
    'Variants tried 3 3 of them bet'
    """
    table = sweep.table
    best = table.loc[table.attrs["best"]]
    near = stability(sweep).loc[table.attrs["best"]]
    corrected = _judging_p(sweep)
    sure = int((table[corrected] <= SURE).sum())
    span, picked = (
        f"{percent(low)} to {percent(high)}"
        for low, high in ((best["low"], best["high"]), (choices.low, choices.high))
    )
    winning = (
        "–"
        if not near["neighbours"]
        else f"{round(near['neighbours'] * near['neighbours_winning'])} of {int(near['neighbours'])}"
    )
    return headline(
        ("Variants tried", f"{sweep.tried:,}", f"{int((table['bets'] > 0).sum()):,} of them bet"),
        ("Yield of the best", percent(best["yield"], sign=True), "" if np.isnan(best["low"]) else span),
        (
            "Its p, corrected",
            FORMATS["p"](best[corrected]),
            FORMATS["p"](best[corrected.removesuffix("_adjusted")]) + " alone",
        ),
        ("Significant", f"{sure:,}", f"of {sweep.tried:,}, all counted"),
        ("Neighbours win", winning, f"of the best; they yield {percent(near['neighbour_yield'])}"),
        (
            "Picked by the past",
            percent(choices.value, sign=True),
            "nothing would have been picked" if np.isnan(choices.low) else picked,
        ),
    )


def _judging_p(sweep: Sweep) -> str:
    """The p-value that judges: that of the luck test, where closing lines allow it."""
    best = sweep.table.loc[sweep.table.attrs["best"]]
    return "p_adjusted" if np.isnan(best["luck_p_adjusted"]) else "luck_p_adjusted"
