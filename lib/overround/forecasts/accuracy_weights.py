"""Weights for a consensus from bookmakers' past accuracy, blind to the matches that they are used on."""

import numpy as np
import pandas as pd

from overround.errors import ParameterError
from overround.forecasts.scores import probability_scores
from overround.prices.closing import closing_quotes
from overround.prices.fair import fair_probabilities
from overround.prices.references import accuracy_weights

# a match without a time of settlement is over by then
_OVER = pd.Timedelta(days=1)


def past_accuracy_weights(
    quotes: pd.DataFrame,
    results: pd.DataFrame,
    reference: str,
    method: str = "power",
    *,
    blocks: int = 8,
    least: int = 50,
) -> pd.DataFrame:
    """Weights of bookmakers by the accuracy of their closing 1X2 prices in past matches, updated over time.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`, with `starts_at`.
    results : DataFrame
        The table `results`.
    reference : str
        Bookmaker that the others are scored against; see `probability_scores`.
    method : str
        Margin removal.
    blocks : int
        Number of periods with equally many matches; weights are made at the start of each but the first.
    least : int
        Matches that scores need; with fewer there are no weights yet.

    Returns
    -------
    DataFrame
        Index: the time from which a row of weights is known; a column a bookmaker (`accuracy_weights`), 0 for
        one without a score. What `value_signals` and `closing_lines` take as `weights`.

    Raises
    ------
    ParameterError
        Fewer than two blocks.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> weights = ov.forecasts.past_accuracy_weights(quotes, results, "sharp", blocks=2)
    >>> len(weights)
    1
    """
    if blocks < 2:
        raise ParameterError(f"blocks is {blocks}; weights of the past need at least 2.")
    closing = fair_probabilities(closing_quotes(quotes[quotes["market"] == "h2h"]), method)
    starts = closing.drop_duplicates("event_id").set_index("event_id")["starts_at"]
    over = results.drop_duplicates("event_id").set_index("event_id")["settled_at"].reindex(starts.index)
    over = over.where(over > starts, starts + _OVER)
    order = starts.sort_values()
    cuts = order.iloc[np.unique(len(order) * np.arange(1, blocks) // blocks)] if len(order) else order
    rows = {}
    for since in cuts.drop_duplicates():
        known = over.index[over <= since]
        if len(known) >= least:
            scores = probability_scores(closing[closing["event_id"].isin(known)], results, reference)
            if scores["gap"].notna().any():
                rows[since] = accuracy_weights(scores)
    index = pd.DatetimeIndex(list(rows), name="since", tz="UTC")
    return pd.DataFrame(list(rows.values()), index=index).fillna(0.0)
