"""Models compared with the market's closing prices, forecast by forecast."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from overround.errors import ParameterError
from overround.forecasts.base import MARKET_COLUMNS, PROBABILITIES, THREE
from overround.forecasts.scores import probability_scores


def as_bookmakers(
    forecasts: Mapping[str, pd.DataFrame], *, phase: str = "close", common: bool = False
) -> pd.DataFrame:
    """Forecasts as prices of bookmakers without a margin, for scores, calibration and their figures.

    Parameters
    ----------
    forecasts : mapping
        Name -> what `walk_forward` or `market_probabilities` returned.
    phase : str
        Of the prices that they are compared with.
    common : bool
        Only matches that all of them predicted.

    Returns
    -------
    DataFrame
        event_id, bookmaker (the name), market, line, outcome, phase, price (1 / probability), overround (1),
        fair (the probability), as of `fair_probabilities`; without a probability there is no row.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> forecasts = {"sharp": ov.forecasts.market_probabilities(quotes, "sharp")}
    >>> sorted(set(ov.forecasts.as_bookmakers(forecasts)["bookmaker"]))
    ['sharp']
    """
    parts = []
    for name, forecast in forecasts.items():
        columns = PROBABILITIES if PROBABILITIES[0] in forecast else MARKET_COLUMNS
        wide = forecast[["event_id", *columns]].dropna().set_axis(["event_id", *THREE], axis=1)
        parts.append(wide.melt("event_id", list(THREE), "outcome", "fair").assign(bookmaker=name))
    prices = pd.concat(parts, ignore_index=True)
    if common:
        prices = prices[prices.groupby("event_id")["fair"].transform("size") == len(THREE) * len(forecasts)]
    prices = prices.assign(market="h2h", line=np.nan, phase=phase, price=1 / prices["fair"], overround=1.0)
    return prices[
        ["event_id", "bookmaker", "market", "line", "outcome", "phase", "price", "overround", "fair"]
    ]


def compare_forecasts(
    forecasts: Mapping[str, pd.DataFrame], results: pd.DataFrame, reference: str, *, by: str | None = None
) -> pd.DataFrame:
    """Scores of forecasts on the matches that all of them predicted, each compared with a reference.

    Parameters
    ----------
    forecasts : mapping
        As of `as_bookmakers`.
    results : DataFrame
        The table `results`.
    reference : str
        One of the names, e.g. that of the closing market.
    by : str, optional
        A column of `results`, season or competition: scores for each of its values.

    Returns
    -------
    DataFrame
        As `probability_scores`, but the index is called `forecast` and there is no overround; with `by`, its
        values are the first column, in order.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> forecasts = {name: ov.forecasts.market_probabilities(quotes, name) for name in ("sharp", "soft_1")}
    >>> len(ov.forecasts.compare_forecasts(forecasts, results, "sharp"))
    2
    """
    if reference not in forecasts:
        raise ParameterError(f"reference {reference!r} is none of the forecasts: {', '.join(forecasts)}.")
    fair = as_bookmakers(forecasts, common=True)
    if by is None:
        return _scores(fair, results, reference)
    if by not in results:
        raise ParameterError(f"results have no column {by!r}; they have {', '.join(results.columns)}.")
    predicted = results[results["event_id"].isin(fair["event_id"])]
    parts = [_scores(fair, part, reference).assign(**{by: value}) for value, part in predicted.groupby(by)]
    together = pd.concat(parts) if parts else _scores(fair, results, reference).assign(**{by: ""})
    return together[[by, *together.columns.drop(by)]]


def _scores(fair: pd.DataFrame, results: pd.DataFrame, reference: str) -> pd.DataFrame:
    return probability_scores(fair, results, reference).drop(columns="overround").rename_axis("forecast")
