"""Reference prices: the fair probabilities of a sharp bookmaker, a consensus, an exchange or the close.

The bookmaker that is judged by a reference is never part of it, and neither are columns that summarise the
market (`market_average`, `market_maximum`).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from overround._typing import Floats, Whole
from overround.errors import ParameterError
from overround.prices.board import Board, boards, check_quotes
from overround.schema import AUTO, NOT_AN_ACCOUNT
from overround.times import microseconds

CONSENSUS = "consensus"
MEDIAN, BY_MARGIN, BY_ACCURACY, EXCHANGE, CLOSE = (
    "consensus_median",
    "consensus_margin",
    "consensus_accuracy",
    "exchange_mid",
    "close",
)
# each reference that is not a bookmaker, in words
REFERENCES = {
    CONSENSUS: "mean of all other bookmakers",
    MEDIAN: "median of all other bookmakers",
    BY_MARGIN: "mean of all other bookmakers, weighted by 1 / margin",
    BY_ACCURACY: "mean of all other bookmakers, weighted by their accuracy in the past",
    EXCHANGE: "middle between back and lay at the exchanges",
    CLOSE: "mean of all other bookmakers' closing prices",
}
# a bookmaker without a margin would outweigh all others
_LEAST_MARGIN = 0.005
# difference between the sharpest bookmakers, as a share of the log loss
_LOG_LOSS_NOISE = 0.001
CONSENSUS_NEEDS = 3  # bookmakers


def opinions(
    fair: Floats,
    bookmakers: Sequence[str],
    reference: str,
    *,
    least: int = CONSENSUS_NEEDS,
    overround: Floats | None = None,
    share: Floats | None = None,
    judged: bool = True,
) -> tuple[Floats, Floats]:
    """A reference's probability of each selection for each bookmaker judged by it, and of how many opinions.

    Parameters
    ----------
    fair : ndarray, shape (n_bookmakers, ...)
        Fair probabilities of selections at a time; NaN where a bookmaker had no price.
    bookmakers : sequence of str
        Names along the first axis.
    reference : str
        A bookmaker, "consensus" (the mean of all bookmakers other than the one that is judged),
        "consensus_median", "consensus_margin" (mean weighted by 1 / margin, a margin below 0.5 % counting as
        that: the combination by inverse variance of Bates and Granger (1969), Operational Research Quarterly
        20, 451-468, with the margin in the place of the variance) or "consensus_accuracy" (mean with given
        weights).
    least : int
        Bookmakers that a consensus needs.
    overround : ndarray, broadcast to the shape of `fair`, optional
        Of the market of each probability; "consensus_margin" needs it.
    share : ndarray, broadcast to the shape of `fair`, optional
        Weights for "consensus_accuracy"; a bookmaker without weight is ignored.
    judged : bool
        Leave out each bookmaker's own opinion; otherwise the result is the same for all of them.

    Returns
    -------
    probability : ndarray, shape of `fair`
        NaN where the reference has no opinion: too few bookmakers, or the judged one is the reference itself.
    number : ndarray, shape of `fair`
        Kish's (1965, Survey Sampling) effective number, (sum w)^2 / sum w^2, times 2 / pi for a median; 1 for
        a bookmaker.
    """
    names = list(bookmakers)
    if reference in names:
        probability = np.broadcast_to(fair[names.index(reference)], fair.shape).copy()
        if judged:
            probability[names.index(reference)] = np.nan
        return probability, np.broadcast_to(1.0, fair.shape)
    known = _of_accounts(fair, names)
    if reference == MEDIAN:
        return _median_of_others(np.where(known, fair, np.nan), least, judged=judged)
    weight = known.astype(float)
    if reference == BY_MARGIN:
        if overround is None:
            raise ParameterError(
                "reference 'consensus_margin' needs the overround of each probability's market."
            )
        weight = np.where(known, 1 / np.maximum(overround - 1, _LEAST_MARGIN), 0.0)
    elif reference == BY_ACCURACY:
        assert share is not None  # noqa: S101  # check_reference has seen to it
        weight = np.where(known, share, 0.0)
        known &= weight > 0
    value = np.where(known, fair, 0.0) * weight
    total, others, weighted = (
        _over_books(values) - (values if judged else 0.0) for values in (weight, known.astype(float), value)
    )
    enough = (others >= least) & (total > 0)
    total = np.where(enough, total, np.nan)
    if reference in (CONSENSUS, CLOSE, EXCHANGE):
        number = np.where(enough, others, np.nan)
    else:
        squares = _over_books(weight**2) - (weight**2 if judged else 0.0)
        number = total**2 / np.maximum(squares, 1e-300)
    return np.broadcast_to(weighted / total, fair.shape), np.broadcast_to(number, fair.shape)


def mean_of_accounts(values: Floats, bookmakers: Sequence[str], least: int) -> Floats:
    """Mean over the accounts along the first axis; NaN where fewer than `least` have a value."""
    known = _of_accounts(values, bookmakers)
    n = known.sum(axis=0)
    return np.where(n >= least, _over_books(np.where(known, values, 0.0)) / np.maximum(n, 1), np.nan)


def spread_of_accounts(values: Floats, bookmakers: Sequence[str], judged: Whole | None = None) -> Floats:
    """Standard deviation (n - 1) over the accounts along the first axis; NaN with fewer than two.

    Parameters
    ----------
    values : ndarray, shape (n_bookmakers, ...)
        Of selections at a time.
    bookmakers : sequence of str
        Names along the first axis.
    judged : ndarray of int, shape (...), optional
        Row of the bookmaker that is left out.
    """
    known = _of_accounts(values, bookmakers)
    if judged is not None:
        known &= np.arange(len(values))[:, None] != judged
    n = known.sum(axis=0)
    mean = _over_books(np.where(known, values, 0.0)) / np.maximum(n, 1)
    squares = _over_books(np.where(known, (values - mean) ** 2, 0.0))
    return np.where(n >= 2, np.sqrt(squares / np.maximum(n - 1, 1)), np.nan)


def accuracy_weights(scores: pd.DataFrame) -> dict[str, float]:
    """Weights for "consensus_accuracy" from probability scores of the past.

    Parameters
    ----------
    scores : DataFrame
        What `probability_scores` returned: index bookmaker, columns log_loss and gap. To judge bets fairly
        the scores must be of matches that were over before the bets were placed, as in
        `past_accuracy_weights`.

    Returns
    -------
    dict
        Bookmaker -> 1 / (gap - smallest gap + noise), in proportion, summing to 1. The log loss in excess of
        the best one's is a proxy for the variance of the error (Bates and Granger 1969: weights by inverse
        error variance). The noise is the median standard error of the gaps (from `low` and `high`, if given)
        and at least a thousandth of the log loss, about the difference between the sharpest: those that
        cannot be told apart have similar weights. Bookmakers without a gap, and market averages and maxima,
        have none.

    Raises
    ------
    ParameterError
        No bookmaker has a gap, or a column is missing.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> fair = ov.fair_probabilities(ov.prices.closing_quotes(quotes))
    >>> weights = ov.prices.accuracy_weights(ov.forecasts.probability_scores(fair, results, "sharp"))
    >>> round(sum(weights.values()), 6)
    1.0
    """
    missing = [column for column in ("log_loss", "gap") if column not in scores]
    if missing:
        raise ParameterError(
            f"scores need the column {missing[0]!r}; they have {', '.join(map(str, scores.columns))}."
        )
    known = scores[scores["gap"].notna() & ~scores.index.isin(NOT_AN_ACCOUNT)]
    if known.empty:
        raise ParameterError(
            "no bookmaker has been scored against the reference on a common match, so none has a weight."
        )
    noise = _LOG_LOSS_NOISE * known["log_loss"].min()
    if {"low", "high"} <= set(known.columns):
        half = ((known["high"] - known["low"]) / 2)[lambda width: width > 0]
        noise = np.nanmax([noise, half.median() / 1.96 if len(half) else np.nan])
    weight = 1 / (known["gap"] - known["gap"].min() + noise)
    return {str(name): float(value) for name, value in (weight / weight.sum()).items()}


def lowest_margin(quotes: pd.DataFrame) -> str:
    """The bookmaker with the lowest median overround, the likeliest leader; empty where there is none.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> ov.prices.lowest_margin(quotes)
    'sharp'
    """
    found: dict[str, list[Floats]] = {}
    for board in boards(quotes, "multiplicative", max_age_h=None):
        for name, book in zip(board.names, board.overround, strict=True):
            if name not in NOT_AN_ACCOUNT:
                found.setdefault(name, []).append(book[~np.isnan(book)])
    medians = {
        name: float(np.median(np.concatenate(parts))) for name, parts in found.items() if sum(map(len, parts))
    }
    return min(medians, key=lambda name: medians[name], default="")


def check_reference(
    reference: str,
    names: Sequence[str],
    *,
    quotes: pd.DataFrame | None = None,
    weights: object = None,
    at_close: bool = True,
) -> None:
    """Reject a reference that is not available, naming those that are."""
    if reference == AUTO and AUTO not in names:
        raise ParameterError(
            f"reference {AUTO!r} is chosen from past results: "
            "give what forecasts.reference_periods(quotes, results) returns."
        )
    check_name(reference, names)
    if reference == CLOSE and not at_close:
        raise ParameterError(
            "reference 'close' is not known before kick-off: "
            "bet at the close (at_close), or take another reference."
        )
    if reference == EXCHANGE and quotes is not None and not (quotes["market"] == "h2h_lay").any():
        raise ParameterError(
            "reference 'exchange_mid' needs lay prices (market h2h_lay), and these quotes have none."
        )
    if reference == BY_ACCURACY and weights is None:
        raise ParameterError(
            "reference 'consensus_accuracy' needs weights: "
            "accuracy_weights or past_accuracy_weights makes them."
        )


def check_name(reference: str, names: Sequence[str]) -> None:
    """Reject a reference that is none of these bookmakers and none of `REFERENCES`."""
    if names and reference not in REFERENCES and reference not in names:
        raise ParameterError(
            f"reference {reference!r} has no prices here; bookmakers are {', '.join(sorted(set(names)))}, "
            f"or one of {', '.join(REFERENCES)}, or {AUTO}: found from the past, a period at a time."
        )


def board_reference(
    board: Board,
    reference: str,
    weights: "Mapping[str, float] | pd.DataFrame | None" = None,
    *,
    judged: bool = True,
) -> tuple[Floats, Floats]:
    """`opinions` on a board, or an exchange's, each (K, T, 3); `weights` may be a table by time.

    A price is judged by bookmakers that offer as many ways: a tie gives the stake back in two, and loses in
    three.
    """
    said: dict[str, Any] = {"bookmakers": board.names, "reference": reference, "judged": judged}
    if reference == EXCHANGE:
        lay = board.lay if board.lay is not None else np.full(board.fair.shape, np.nan)
        mid = exchange_mid(board.price, lay, board.ways == 3)
        probability, number = board.by_ways(mid, partial(opinions, least=1, **said))
        return probability, number
    share = None
    if reference == BY_ACCURACY:
        share = _weights({} if weights is None else weights, board.names, board.time)[:, :, None]
    margin = board.overround[:, :, None]
    of = partial(opinions, overround=margin, share=share, **said)
    probability, number = board.by_ways(board.fair, of)
    return probability, number


def exchange_mid(back: Floats, lay: Floats, three: ArrayLike = True) -> Floats:
    """Middle between an exchange's best back and lay price, as probabilities that sum to one.

    Parameters
    ----------
    back, lay : ndarray, shape (..., 3)
        Prices of home, draw, away; NaN where there is none.
    three : array_like of bool, shape (...)
        Whether the market has a draw, which must then be quoted.

    Returns
    -------
    ndarray, shape (..., 3)
        (1 / back + 1 / lay) / 2, divided by its sum over the outcomes; NaN for all where one is missing.

    Examples
    --------
    >>> import overround as ov
    >>> import numpy as np
    >>> ov.prices.exchange_mid(np.array([[2.0, 3.5, 4.0]]), np.array([[2.04, 3.6, 4.2]])).round(3).tolist()
    [[0.485, 0.276, 0.239]]
    """
    mid = (1 / back + 1 / lay) / 2
    known = np.broadcast_to(np.asarray(three)[..., None] | (np.arange(3) != 1), mid.shape)
    total = np.where(known, mid, 0.0).sum(axis=-1, keepdims=True)
    return np.where(known, mid / total, np.nan)


def _of_accounts(values: Floats, bookmakers: Sequence[str]) -> NDArray[np.bool_]:
    """Which values are known and not a market's average or maximum."""
    accounts = ~np.isin(bookmakers, NOT_AN_ACCOUNT)
    return ~np.isnan(values) & accounts.reshape(-1, *[1] * (values.ndim - 1))


def _over_books(values: Floats) -> Floats:
    """Sum over the bookmakers in their order, so that a later one changes no digit of earlier sums."""
    total = values[0].astype(float)
    for value in values[1:]:
        total += value
    return total


def _median_of_others(fair: Floats, least: int, *, judged: bool) -> tuple[Floats, Floats]:
    ordered = np.sort(fair, axis=0)  # NaN goes last
    n = (~np.isnan(fair)).sum(axis=0)
    rank = np.argsort(np.argsort(fair, axis=0, kind="stable"), axis=0, kind="stable")
    here = ~np.isnan(fair) & judged
    others = n - here
    last = len(fair) - 1
    middle = np.zeros(fair.shape)
    for at in (np.maximum(others - 1, 0) // 2, others // 2):
        # without the judged one, every rank from its own on moves up
        at = np.minimum(at + (here & (rank <= at)), last)
        middle = middle + np.take_along_axis(ordered, at, axis=0)
    enough = others >= least
    return np.where(enough, middle / 2, np.nan), np.where(enough, others * 2 / np.pi, np.nan)


def _weights(weights: "Mapping[str, float] | pd.DataFrame", names: Sequence[str], time: np.ndarray) -> Floats:
    """Weight of each bookmaker at each time, (K, T): a mapping's, or those of a table's row known by then."""
    if not isinstance(weights, pd.DataFrame):
        return np.array([[float(weights.get(name, 0.0))] for name in names]).repeat(len(time), axis=1)
    table = weights.sort_index()
    known = np.searchsorted(microseconds(table.index.to_series()), time, side="right") - 1
    rows = np.vstack([table.reindex(columns=list(names)).fillna(0.0).to_numpy(float), np.zeros(len(names))])
    return rows[known].T


def bookmakers_of(quotes: pd.DataFrame) -> list[str]:
    """Names of the bookmakers that have prices, sorted."""
    check_quotes(quotes)
    return sorted(quotes["bookmaker"].unique())


def accounts_of(quotes: pd.DataFrame, bookmakers: Sequence[str] | None, reference: str = "") -> set[str]:
    """Bookmakers to bet at: these, or all but the reference and market averages and maxima."""
    names = bookmakers_of(quotes)
    if bookmakers is None:
        return set(names) - set(NOT_AN_ACCOUNT) - {reference}
    unknown = sorted(set(bookmakers) - set(names))
    if unknown:
        raise ParameterError(
            f"bookmaker {unknown[0]!r} has no prices here; those that have: {', '.join(names)}."
        )
    return set(bookmakers)
