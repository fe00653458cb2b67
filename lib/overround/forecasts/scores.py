"""Proper scores of every bookmaker and margin method, and tests of their differences by match day."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from overround._typing import Floats, Whole
from overround.encoding import encode_like
from overround.errors import ParameterError
from overround.grouping import MARKET, SELECTION, group_codes
from overround.prices.board import check_quotes
from overround.prices.margin import METHODS, markets_without_margin
from overround.prices.references import CONSENSUS, CONSENSUS_NEEDS
from overround.prices.standing import first_and_closing
from overround.prices.ways import slots_of, ways_of
from overround.schema import NOT_AN_ACCOUNT
from overround.stats import LEVEL, clustered_variance, day, holm

_NOTHING = 1e-12  # rounding in the difference of two equal probabilities
_PHASES = ("early", "close")


def probability_scores(fair: pd.DataFrame, results: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Scores of each bookmaker's margin-free probabilities on 1X2 markets; lower is better.

    Bookmakers quote different matches, some easier to predict than others: only the column `gap` compares
    them fairly.

    Parameters
    ----------
    fair : DataFrame
        What `fair_probabilities` returned, one price of each selection and bookmaker (say the closing ones).
    results : DataFrame
        The table `results`.
    reference : str
        Bookmaker that the others are compared with, or "consensus": the mean of the others, three or more.

    Returns
    -------
    DataFrame
        Index `bookmaker`, best gap first; columns as in `score_table`, from matches to p_adjusted.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> fair = ov.fair_probabilities(ov.prices.closing_quotes(quotes))
    >>> ov.forecasts.probability_scores(fair, results, "sharp")["matches"].tolist()
    [100, 100, 100, 100]
    """
    markets = decided_markets(fair[fair["market"] == "h2h"], results)
    _check_reference(reference, fair)
    group, names = groups(markets.frame, ("bookmaker",))
    of_market = group[markets.rows[:, 0]]
    p = markets.values("fair")
    book = markets.values("overround")[:, 0]
    rows = _score_rows(p, book, _against(p, markets, reference), markets, of_market, len(names))
    return _tested(pd.concat([names, rows], axis=1)).set_index("bookmaker")


def score_table(
    quotes: pd.DataFrame,
    results: pd.DataFrame,
    methods: Sequence[str] = tuple(METHODS),
    by: Sequence[str] = ("market", "phase"),
    *,
    reference: str = CONSENSUS,
) -> pd.DataFrame:
    """Proper scores of every bookmaker and margin method on 1X2 and two-way markets, with tests.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes` with `starts_at`; of snapshots the first and the last before kick-off count
        (`early_and_close`). Scored are whole markets without pushes and halves: h2h, and totals at half-goal
        lines.
    results : DataFrame
        The table `results`.
    methods : sequence of str
        Margin removal, of `overround.prices.METHODS`.
    by : sequence of str
        Columns of `quotes` to group by, such as market, phase, competition, season.
    reference : str
        A bookmaker, or "consensus" (the mean of the other accounts, three or more): each row against it under
        the same method. Or a method of margin removal: each row against the same prices under that method. Or
        "early" or "close": each row against the same bookmaker's prices of that phase.

    Returns
    -------
    DataFrame
        A row for each of `by`, bookmaker and method, best gap first; columns matches; overround (mean book);
        brier (Brier 1950, Monthly Weather Review 78, 1-3: squared errors summed over outcomes); log_loss
        (nats) and ignorance (the same in bits; Good 1952, JRSS B 14, 107-114; Roulston and Smith 2002,
        Monthly Weather Review 130, 1653-1660); rps (ranked probability score in the order home, draw, away;
        Epstein 1969, Journal of Applied Meteorology 8, 985-987; divided by outcomes - 1), each the mean over
        matches; common (matches that both quote); gap (mean difference in log loss to the reference on
        those), low and high (its 95 % interval) and p (two-sided, as Diebold and Mariano 1995, Journal of
        Business & Economic Statistics 13, 253-263), robust to dependence within a match day (Liang and Zeger
        1986, Biometrika 73, 13-22; Student's t with days - 1 degrees of freedom); p_adjusted for all the
        comparisons of the table (Holm 1979, Scandinavian Journal of Statistics 6, 65-70).

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> scores = ov.forecasts.score_table(quotes, results, ("power",), ("phase",), reference="sharp")
    >>> len(scores)
    8
    """
    prices = early_and_close(quotes)
    markets = decided_markets(prices, results)
    if reference not in (*METHODS, *_PHASES):
        _check_reference(reference, prices)
    group, names = groups(markets.frame, (*by, "bookmaker"))
    of_market = group[markets.rows[:, 0]]
    book = markets.book()
    fixed = _log_loss(markets.fair(reference), markets.won) if reference in METHODS else None
    tables = []
    for method in methods:
        p = markets.fair(method)
        against = fixed if fixed is not None else _against(p, markets, reference)
        rows = _score_rows(p, book, against, markets, of_market, len(names))
        tables.append(pd.concat([names.assign(method=method), rows], axis=1))
    table = pd.concat(tables, ignore_index=True)
    return _tested(table).sort_values([*by, "gap"], kind="stable").reset_index(drop=True)


def early_and_close(quotes: pd.DataFrame) -> pd.DataFrame:
    """One early and one closing price of each selection and bookmaker, with or without clock times.

    Quotes whose phase is early or close are kept; of snapshots the first before kick-off becomes early,
    that which stood at kick-off close (`closing_quotes`).

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes` with `starts_at`.

    Returns
    -------
    DataFrame
        Quotes with phase early or close; `observed_at` is empty.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> sorted(set(ov.forecasts.early_and_close(quotes)["phase"]))
    ['close', 'early']
    """
    timed = quotes["phase"] == "snapshot"
    if not timed.any():
        return quotes
    check_quotes(quotes)
    both = [
        quotes.take(rows).assign(phase=phase)
        for phase, rows in zip(_PHASES, first_and_closing(quotes), strict=True)
    ]
    untimed = [
        rows.assign(observed_at=pd.Series(pd.NaT, rows.index, quotes["observed_at"].dtype)) for rows in both
    ]
    return encode_like(pd.concat([quotes[~timed], *untimed], ignore_index=True), quotes)


@dataclass(frozen=True)
class Decided:
    """Markets that have a result, n of them, as arrays from which every score is computed."""

    frame: pd.DataFrame  # the quotes
    rows: Whole  # (n, 3): row in `frame` of each slot; -1 for the draw of a two-way market
    won: Whole  # (n,): which of the three happened
    day: Whole  # (n,): number of the match day
    key: Whole  # (n,): equal for the same market at other bookmakers

    def values(self, column: str) -> Floats:
        """A column of the quotes, shape (n, 3); NaN for the draw of a two-way market."""
        return np.where(self.rows >= 0, self.frame[column].to_numpy(float)[self.rows], np.nan)

    def fair(self, method: str) -> Floats:
        """Margin-free probabilities, shape (n, 3); a row of NaN where the method cannot solve the market."""
        return markets_without_margin(self.values("price"), self.rows[:, 1] >= 0, method)[0]

    def book(self) -> Floats:
        """Overround of each market, shape (n,)."""
        return np.nansum(1 / self.values("price"), axis=1)


def decided_markets(quotes: pd.DataFrame, results: pd.DataFrame) -> Decided:
    """The whole markets of these quotes whose match has a result that one of the outcomes won."""
    half = (quotes["market"] == "totals") & (2 * quotes["line"] % 2 == 1) if "line" in quotes else False
    frame = quotes[(quotes["market"] == "h2h") | half]
    event, matches = pd.factorize(frame["event_id"])
    ended = results.drop_duplicates("event_id").set_index("event_id").reindex(matches)
    # a kick-off is the match's own: forecasts have none
    dated = ended if "starts_at" in ended else frame.drop_duplicates("event_id")
    days = (
        pd.factorize(day(dated), use_na_sentinel=False)[0]
        if "starts_at" in dated
        else np.arange(len(matches))
    )
    slot, (_, has_draw) = slots_of(frame), ways_of(frame)
    market, n = group_codes(frame, [column for column in MARKET if column in frame])
    rows = np.full((n, 3), -1)
    rows[market, slot] = np.arange(len(frame))

    first = rows.max(axis=1)
    event = event[first]
    is_h2h = (frame["market"] == "h2h").to_numpy()[first]
    home, away = ended[["home_score", "away_score"]].to_numpy(float)[event].T
    line = frame["line"].to_numpy(float)[first] if "line" in frame else np.full(n, np.nan)
    lead = np.where(is_h2h, home - away, home + away - line)
    three = is_h2h & has_draw[first]
    decided = (
        ~np.isnan(lead)
        & ((lead != 0) | three)
        & (rows[:, ::2] >= 0).all(axis=1)
        & ((rows[:, 1] >= 0) == three)
    )
    keyed, _ = group_codes(frame, [column for column in MARKET if column in frame and column != "bookmaker"])
    won = 1 - np.sign(lead[decided]).astype(np.int64)
    return Decided(frame, rows[decided], won, days[event[decided]], keyed[first[decided]])


def groups(frame: pd.DataFrame, by: Sequence[str]) -> tuple[Whole, pd.DataFrame]:
    """Number of the group of each row, and the values of the columns `by` of each group."""
    missing = [column for column in by if column not in frame]
    if missing:
        raise ParameterError(
            f"quotes have no column {missing[0]!r} to group by; they have {', '.join(frame.columns)}."
        )
    code, n = group_codes(frame, by)
    one = np.zeros(n, np.int64)
    one[code] = np.arange(len(frame))
    return code, frame[list(by)].take(one).reset_index(drop=True)


def _check_reference(reference: str, quotes: pd.DataFrame) -> None:
    names = sorted(quotes["bookmaker"].unique())
    if names and reference != CONSENSUS and reference not in names:
        raise ParameterError(
            f"reference {reference!r} has no prices here; bookmakers are {', '.join(names)}, or consensus."
        )


def _log_loss(p: Floats, won: Whole) -> Floats:
    return -np.log(p[np.arange(len(p)), won])


def _against(p: Floats, markets: Decided, reference: str) -> Floats:
    """Log loss of the reference's probabilities of each market, shape (n,); NaN where it has none."""
    shown, key = markets.frame.take(markets.rows[:, 0]), markets.key
    loss = _log_loss(p, markets.won)
    may_be = (shown["bookmaker"] == reference).to_numpy()
    # a forecast may be called consensus, early or close
    if reference == CONSENSUS and not may_be.any():
        counted = ~shown["bookmaker"].isin(NOT_AN_ACCOUNT).to_numpy() & ~np.isnan(loss)
        chance = np.where(counted, np.exp(-loss), 0.0)
        others, total = (np.bincount(key, values)[key] - values for values in (counted, chance))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(others >= CONSENSUS_NEEDS, -np.log(total / others), np.nan)
    if reference in _PHASES and not may_be.any():
        key, _ = group_codes(shown, [column for column in (*SELECTION[:-1], "bookmaker") if column in shown])
        may_be = (shown["phase"] == reference).to_numpy()
    known = may_be & ~np.isnan(loss)
    of_key = np.full(key.max(initial=-1) + 1, np.nan)
    of_key[key[known]] = loss[known]
    return of_key[key]


def _score_rows(
    p: Floats, book: Floats, against: Floats, markets: Decided, group: Whole, n: int
) -> pd.DataFrame:
    """Mean scores of each group and the mean difference to its reference, with standard error and days."""
    known = ~np.isnan(p[:, 0])
    squared = np.nan_to_num(p - (markets.won[:, None] == np.arange(3))) ** 2
    loss = _log_loss(p, markets.won)
    # the ranked score of ordered outcomes: half the squared errors of both ends, whose cumulative sums are
    # P(home) and 1 - P(away)
    scores = {
        "overround": book,
        "brier": squared.sum(axis=1),
        "log_loss": loss,
        "ignorance": loss / np.log(2),
        "rps": squared[:, ::2].sum(axis=1) / 2,
        "common": loss - against,
        "gap": loss - against,
    }
    of_group = pd.DataFrame(scores)[known].groupby(group[known])
    rows = of_group.mean().assign(common=of_group["common"].count()).reindex(range(n))
    gap = scores["gap"] - rows["gap"].to_numpy()[group]
    variance, days = clustered_variance(gap, group, markets.day, n)
    rows.insert(0, "matches", of_group.size())
    return rows.assign(error=np.sqrt(variance) / rows["common"], days=days)


def _tested(rows: pd.DataFrame) -> pd.DataFrame:
    """Interval and p-values in place of the standard error and the number of days."""
    from scipy.special import (
        stdtr,
        stdtrit,
    )  # Student's t without scipy.stats, which takes a second to import

    rows = rows.dropna(subset="matches").astype({"matches": int, "common": int})
    gap, error, freedom = rows["gap"].to_numpy(), rows["error"].to_numpy(), rows["days"].to_numpy() - 1.0
    half = stdtrit(freedom, (1 + LEVEL) / 2) * error
    some = np.where(error > _NOTHING, error, np.nan)
    p = 2 * stdtr(freedom, -np.abs(gap) / some)
    tested = rows.drop(columns=["error", "days"]).assign(
        low=gap - half, high=gap + half, p=p, p_adjusted=holm(p)
    )
    return tested.sort_values("gap", kind="stable")
