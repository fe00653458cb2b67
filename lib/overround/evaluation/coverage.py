"""What missing odds do to a result: bets where all bookmakers have prices, beside those where some do not."""

import pandas as pd

from overround.evaluation.comparison import FEW, NOISE, compare_ledgers, in_points
from overround.evaluation.intervals import yield_with_interval
from overround.evaluation.robustness import always_quoted, missing_odds
from overround.schema import NOT_AN_ACCOUNT

_PLACE = ["competition", "season", "market"]
ALL = "all"
FULL, GAPS = "on matches that all regular bookmakers quote", "on the other matches"
STEADY, OTHERS = "at bookmakers that always quote", "at the other bookmakers"


def bookmaker_gaps(quotes: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """How many matches each bookmaker has no match odds of, most first, and how many matches nobody has.

    Parameters
    ----------
    quotes, events : DataFrame
        The tables.

    Returns
    -------
    DataFrame
        As `missing_odds` by bookmaker, without market averages and maxima. `attrs["says"]`: how many matches
        have no odds at all, of any market.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, _ = ov.example()
    >>> ov.evaluation.bookmaker_gaps(quotes, events).attrs["says"]
    'Every match has odds.'
    """
    table = missing_odds(quotes, ["bookmaker"]).drop(list(NOT_AN_ACCOUNT), errors="ignore")
    table = table.sort_values("missing", ascending=False, kind="stable")
    known = events["event_id"].astype("str").isin(quotes["event_id"].astype("str").unique())
    none = f"{(~known).sum():,} of {len(events):,} matches have no odds at all: nothing could be bet on them."
    table.attrs["says"] = "Every match has odds." if known.all() else none
    return table


def by_coverage(
    ledger: pd.DataFrame,
    quotes: pd.DataFrame,
    *,
    always: float = 0.99,
    simulations: int = 2_000,
    seed: int = 7,
) -> pd.DataFrame:
    """The yield where prices are complete, and where some are missing.

    What holds only where prices are missing is a fact about missing prices, not an edge.

    Parameters
    ----------
    ledger : DataFrame
        What `backtest` returned.
    quotes : DataFrame
        The table `quotes`.
    always : float
        Share of the matches of a competition's season and market that a bookmaker needs prices for, so that
        it counts as one that always quotes there.
    simulations, seed : int
        Resamples of match days for the intervals.

    Returns
    -------
    DataFrame
        Index `which bets`: all; those on matches that all regular bookmakers quote, see `always_quoted`, and
        on the others; those at bookmakers that always quote, and at the others. Columns bets, yield, low,
        high (95 %), clv.
        `attrs["says"]`: the differences, as `compare_ledgers` judges them.

    Examples
    --------
    >>> import overround as ov
    >>> _, quotes, _ = ov.example()
    >>> table = ov.evaluation.by_coverage(ov.datasets.example_ledger(), quotes, simulations=200)
    >>> table["bets"].tolist()
    [93, 93, 0, 93, 0]
    """
    full = ledger.index.isin(always_quoted(ledger, quotes).index)
    steady = _always_quotes(ledger, quotes, always)
    parts = {
        ALL: ledger,
        FULL: ledger[full],
        GAPS: ledger[~full],
        STEADY: ledger[steady],
        OTHERS: ledger[~steady],
    }
    rows = {
        name: {**yield_with_interval(part, simulations, seed), "clv": part["clv"].mean()}
        for name, part in parts.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("which bets").astype({"bets": int})
    pairs = ((FULL, GAPS), (STEADY, OTHERS))
    table.attrs["says"] = " ".join(
        _difference({name: parts[name] for name in pair}, simulations, seed) for pair in pairs
    ).strip()
    return table


def _always_quotes(ledger: pd.DataFrame, quotes: pd.DataFrame, always: float) -> pd.Series:
    """Whether each bet is at a bookmaker with prices for nearly all matches of its league, season, market."""
    accounts = quotes[~quotes["bookmaker"].isin(NOT_AN_ACCOUNT) & quotes["price"].notna()]
    pairs = accounts.drop_duplicates([*_PLACE, "bookmaker", "event_id"])[[*_PLACE, "bookmaker", "event_id"]]
    pairs = pairs.astype("str")
    shown = pairs.groupby([*_PLACE, "bookmaker"]).size()
    matches = pairs.groupby(_PLACE)["event_id"].nunique()
    share = shown / matches.reindex(shown.index.droplevel("bookmaker")).to_numpy()
    mine = pd.MultiIndex.from_frame(ledger[[*_PLACE, "bookmaker"]].astype("str"))
    return pd.Series(share.reindex(mine).to_numpy() >= always, ledger.index)


def _difference(parts: dict[str, pd.DataFrame], simulations: int, seed: int) -> str:
    (name, part), (other, rest) = parts.items()
    if rest.empty and part.empty:
        return ""
    if rest.empty or part.empty:
        return f"All bets are {name if rest.empty else other}."
    row = compare_ledgers({other: rest, name: part}, simulations=simulations, seed=seed).loc[name]
    gap = in_points(row["difference"], row["low"], row["high"])
    if row["verdict"] == FEW:
        return f"Too few bets to compare those {name} with those {other}."
    sure = "within noise" if row["verdict"] == NOISE else "beyond noise"
    return f"Yield {name} less that {other}: {gap} points, {sure}."
