"""Bets where a model's probabilities make a price worth more than it costs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from overround.errors import ParameterError
from overround.forecasts.base import PROBABILITIES
from overround.formatting import percent
from overround.prices.board import boards
from overround.prices.references import accounts_of
from overround.signals.selection import as_signals, believable, bets, first_and_best
from overround.times import microseconds


def model_signals(
    probabilities: pd.DataFrame,
    quotes: pd.DataFrame,
    min_edge: float = 0.05,
    *,
    name: str = "model",
    bookmakers: Sequence[str] | None = None,
    at_close: bool = False,
    max_age_h: float = 24.0,
    max_price: float = 15.0,
    max_edge: float = 0.25,
) -> pd.DataFrame:
    """Bets at 1X2 prices that are better than a model thinks fair.

    Times and prices are as of `value_signals`, and no bet is placed before its match was predicted
    (`predicted_at`). A selection is bet once: at the first time that an account's edge reaches `min_edge`, at
    the best such price.

    Parameters
    ----------
    probabilities : DataFrame
        What `walk_forward` returned.
    quotes : DataFrame
        The table `quotes` as `Store.read` gives it, with `starts_at`.
    min_edge : float
        Least expected profit per unit staked by the model: probability x price - 1, the price less an
        exchange's commission.
    name : str
        Of the model, as shown in reports.
    bookmakers : sequence of str, optional
        Where there are accounts; by default every bookmaker. Market averages and maxima count only if named.
    at_close, max_age_h, max_price : bool, float, float
        As of `value_signals`.
    max_edge : float
        A larger edge means that the model has missed something that the market knows.

    Returns
    -------
    DataFrame
        Signals: a row a bet, ordered by time of placement.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> p = ov.walk_forward(ov.forecasts.Elo(), events, results.drop(columns="starts_at"), least_matches=20)
    >>> signals = ov.signals.model_signals(p, quotes, min_edge=0.05)
    >>> bool((signals["edge"] >= 0.05).all())
    True
    """
    missing = [
        column for column in ("event_id", "predicted_at", *PROBABILITIES) if column not in probabilities
    ]
    if missing:
        raise ParameterError(f"probabilities need the column {missing[0]!r}; walk_forward gives it.")
    quotes = quotes[quotes["market"] == "h2h"]
    accounts = accounts_of(quotes, bookmakers)
    forecasts = probabilities.set_index("event_id")
    wide, predicted_at = (
        forecasts[list(PROBABILITIES)].to_numpy(float),
        microseconds(forecasts["predicted_at"]),
    )
    parts = []
    for board in boards(
        quotes[quotes["event_id"].isin(forecasts.index)],
        "multiplicative",
        at_close=at_close,
        max_age_h=max_age_h,
    ):
        price = believable(board, board.price)
        match = forecasts.index.get_indexer(board.quotes["event_id"].iloc[board.row.max(axis=(0, 2))])
        probability = np.where((board.time >= predicted_at[match])[:, None], wide[match], np.nan)
        # the model's draw has no place in a market of two ways
        price[board.ways == 2] = np.nan
        edge = probability * believable(board, board.net) - 1
        mine = board.among(accounts)
        wanted = (edge >= min_edge) & (edge <= max_edge) & (price <= max_price) & mine
        at = first_and_best(board, wanted)
        parts.append(bets(board, *at, probability=probability[at[1:]], edge=edge[at]))
    return as_signals(parts, f"{name} (edge from {percent(min_edge)})")
