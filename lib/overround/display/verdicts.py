"""What a report found, in a sentence: of signals, bookmakers, a collection, a pipeline's cost."""

import pandas as pd

from overround.display.headlines import longest_gap, mean_edge, pipeline_ratio
from overround.display.references import reference_note
from overround.formatting import percent
from overround.measure.meter import request_figures
from overround.measure.paired import Change
from overround.prices.periods import Reference, reference_words
from overround.schema import NOT_AN_ACCOUNT
from overround.sweeps.summary import SURE


def signals_verdict(
    signals: pd.DataFrame, quotes: pd.DataFrame, scores: pd.DataFrame, reference: Reference
) -> str:
    """How many bets a strategy wants, at what edge over which reference, and what is without one.

    Parameters
    ----------
    signals, quotes : DataFrame
        The bets wanted, and the prices that they are from.
    scores : DataFrame
        What `probability_scores` returned for the bookmakers' last prices.
    reference : str or DataFrame
        Whose probabilities the edges are against, as in `value_signals`.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> last = ov.fair_probabilities(ov.prices.closing_quotes(quotes))
    >>> scores = ov.forecasts.probability_scores(last, results, "sharp")
    >>> ov.display.signals_verdict(ov.datasets.example_signals(), quotes, scores, "sharp").split(",")[0]
    '93 bets on 69 of 100 matches'
    """
    mean, error, matches = mean_edge(signals)
    better = ", ".join(scores.index[(scores["gap"] < 0) & (scores["p_adjusted"] < SURE)])
    own = "its own" if isinstance(reference, str) else "the leader's"
    sharper = f"no last price is more accurate than {own} beyond noise"
    if better:
        sharper = f"more accurate in the end: {better}"
    found = (
        f"{len(signals):,} bets on {matches:,} of {quotes['event_id'].nunique():,} matches, "
        f"mean edge {percent(mean)} (± {percent(error)}) against {reference_words(reference)}; {sharper}."
    )
    return f"{found} {reference_note(reference, quotes, signals)}".strip()


def bookmakers_verdict(scores: pd.DataFrame, reference: str) -> str:
    """Whose last prices are more accurate than the reference's, and how many are less so, beyond noise.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> last = ov.fair_probabilities(ov.prices.closing_quotes(quotes))
    >>> scores = ov.forecasts.probability_scores(last, results, "sharp")
    >>> ov.display.bookmakers_verdict(scores, "sharp").split(";")[0]
    "Of 4 bookmakers' last prices nobody is sharper than sharp beyond noise"
    """
    books = scores.drop(list(NOT_AN_ACCOUNT), errors="ignore")
    beyond = books[books["p_adjusted"] < SURE]
    sharper, duller = ", ".join(beyond.index[beyond["gap"] < 0]), int((beyond["gap"] > 0).sum())
    found = f"nobody is sharper than {reference} beyond noise"
    if sharper:
        found = f"sharper than {reference} beyond noise: {sharper}"
    worse = f"{duller} are" if duller > 1 else "one is" if duller else "none is"
    return (
        f"Of {len(books):,} bookmakers' last prices {found}; {worse} duller "
        "(by log loss, all comparisons allowed for)."
    )


def collection_verdict(looks: pd.DataFrame, gaps: pd.DataFrame, prices: int, requests: pd.DataFrame) -> str:
    """How often a collection looked, its longest gap, and how its calls were answered.

    Parameters
    ----------
    looks, gaps : DataFrame
        Of `overround.collection.observations` and `gaps`.
    prices : int
        Prices collected.
    requests : DataFrame
        Rows of the table `requests`.

    Examples
    --------
    >>> import overround as ov
    >>> quotes, requests = ov.example().quotes, ov.Store("no such store").read("requests")
    >>> looks = ov.collection.observations(quotes, requests)
    >>> ov.display.collection_verdict(looks, ov.collection.gaps(looks), len(quotes), requests).split("; ")[-1]
    'no call recorded, 0 failed.'
    """
    calls = request_figures(requests.to_dict("records"))
    longest, answered = longest_gap(gaps), "no call recorded"
    gap = f"the longest gap is {' at '.join(longest)}" if longest else "no gap"
    if calls:
        answered = f"{percent(calls['cache_hit_share'], 0)} of {len(requests):,} calls answered by the cache"
    return (
        f"{len(looks):,} looks at {looks['competition'].nunique():,} competitions; {gap}; {prices:,} prices; "
        f"{answered}, {int(calls.get('requests_failed', 0)):,} failed."
    )


def cost_verdict(costs: pd.DataFrame, change: pd.DataFrame, saved: Change) -> str:
    """Time and memory of a pipeline, against the one before, and what the library saves.

    Parameters
    ----------
    costs, change : DataFrame
        Of `overround.runs.history.stage_costs` and `cost_change`.
    saved : Change
        The library's way against the naive one, over all experiments.

    Examples
    --------
    >>> import overround as ov
    >>> import pandas as pd
    >>> costs = pd.DataFrame({"wall_s": [2.0, 1.0], "peak_mb": [200.0, 150.0]}, index=["append", "read"])
    >>> saved = ov.measure.Change("all", "own_s", 1.0, 0.5, 0.5, 0.45, 0.55, "better", 20, 0)
    >>> print(ov.display.cost_verdict(costs, costs.head(0), saved).split(". ")[0])
    3.0 s in 2 stages, 200 MB at the highest; the longest is append with 2.0 s
    """
    wall = costs["wall_s"]
    against = ""
    if len(change):
        against = f"; {pipeline_ratio(change):.2f} times the pipeline before in the stages of both"
    return (
        f"{wall.sum():.1f} s in {len(costs)} stages, {costs['peak_mb'].max():.0f} MB at the highest; "
        f"the longest is {wall.idxmax()} with {wall.max():.1f} s{against}. "
        f"Time of all experiments, the library's way against the naive: {saved.change()}."
    )
