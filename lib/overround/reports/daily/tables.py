"""The day in words and tables: key figures, figures beside those of the week before, the bets."""

from collections.abc import Iterable

import pandas as pd

from overround.display.elements import Html
from overround.display.headlines import longest_gap
from overround.display.tables import headline, table
from overround.formatting import FORMATS, percent
from overround.reports.daily.bets import matches, outcomes
from overround.reports.daily.data import Recent
from overround.reports.daily.figures import FIGURES

_SHOWN = {"now": "last day", "day_before": "day before", "week_before": "a week before"}


def digest_headline(compared: pd.DataFrame, missed: pd.DataFrame) -> Html:
    """The strip of figures of the last day, each with the day before and a week before."""

    def beside(name: str) -> tuple[str, str]:
        now, before, earlier = (_written(name, compared.loc[name, column]) for column in _SHOWN)
        return now, f"{before} the day before, {earlier} a week before"

    settled = compared.loc["bets settled", "now"]
    earned = percent(compared.loc["profit per unit", "now"], sign=True)
    unusual = f"{int(compared['unusual'].sum())}"
    return headline(
        ("Prices", *beside("prices")),
        ("Matches", *beside("matches")),
        ("Longest gap", *(longest_gap(missed) or ("none", "on the last day"))),
        ("Signals", *beside("signals")),
        ("Profit per unit", earned, f"of {settled:,.0f} settled bets" if settled else "no bet was settled"),
        ("Unusual", unusual, f"of {len(compared)} figures, against the week before"),
    )


def digest_table(compared: pd.DataFrame, figures: Iterable[str] | None = None) -> Html:
    """Rows of `against` as a table, each in its own unit; unusual figures are marked."""
    rows = []
    for name, row in compared.loc[list(figures or compared.index)].iterrows():
        text = {title: _written(str(name), row[column]) for column, title in _SHOWN.items()}
        least, most = (_written(str(name), row[column]) for column in ("least", "most"))
        text["range of seven days"] = "–" if pd.isna(row["least"]) else f"{least} to {most}"
        note = "▼ unusually low" if row["now"] < row["usual"] else "▲ unusually high"
        rows.append({"figure": name, **text, "note": note if row["unusual"] else ""})
    shown = pd.DataFrame(rows)
    shown = shown if (shown["note"] != "").any() else shown.drop(columns="note")
    return table(shown, dict.fromkeys((*_SHOWN.values(), "range of seven days"), "text"))


def signal_table(recent: Recent, bets: pd.DataFrame, most: int = 20) -> Html:
    """Bets placed or settled on the last day, newest first, with the profit of one unit if settled."""
    mine = bets[(bets["placed_at"] > recent.begin) | (bets["settled_at"] > recent.begin)]
    columns = mine[["bookmaker", "price", "edge", "profit", "clv", "placed_at"]]
    rows = pd.DataFrame({"match": matches(recent, mine), "outcome": outcomes(mine), **columns})
    rows = rows.sort_values("placed_at", ascending=False, kind="stable")
    return table(
        rows, {"profit": "{:+.2f}".format}, most=most, empty="No bet was placed or settled on the last day."
    )


def digest_verdict(recent: Recent, compared: pd.DataFrame, missed: pd.DataFrame) -> str:
    """The last day in a sentence or two.

    Parameters
    ----------
    recent : Recent
        What `recent` returned.
    compared : DataFrame
        What `against` returned.
    missed : DataFrame
        What `open_gaps` returned.
    """
    when = f"{recent.hours:g} hours to {recent.until:%Y-%m-%d %H:%M} UTC"
    if recent.quotes.empty:
        return (
            f"Nothing to tell of the {when}: the store has no price of this source from the nine days before."
        )
    now = compared["now"]
    if recent.today.empty:
        last = recent.quotes["collected_at"].max()
        silent = (recent.until - last).total_seconds() / 3600
        return (
            f"Nothing came in during the {when}: "
            f"the last price was collected {silent:,.0f} hours before, at {last:%Y-%m-%d %H:%M} UTC."
        )
    came = (
        f"{now['prices']:,.0f} prices of {now['matches']:,.0f} matches at {now['bookmakers']:,.0f} bookmakers"
    )
    earlier = compared.loc["prices", ["day_before", "week_before"]].set_axis(
        ["the day before", "a week before"]
    )
    before = [f"{amount:,.0f} {name}" for name, amount in earlier.dropna().items()]
    longest = longest_gap(missed)
    gap = f"longest gap {' at '.join(longest)}" if longest else "no gap"
    made, settled = now["signals"], now["bets settled"]
    earned = ", none settled"
    if settled:
        earned = f", {settled:,.0f} settled at {percent(now['profit per unit'], sign=True)} a unit"
    unusual = ", ".join(map(str, compared.index[compared["unusual"]]))
    verdict = f"Unusual against the week before: {unusual}." if unusual else ""
    return (
        f"The {when} brought {came} ({'; '.join(before) or 'the first day'}); {gap}; "
        f"{made:,.0f} new signals{earned}. {verdict or 'Nothing is unusual against the week before.'}"
    )


def _written(name: str, value: float) -> str:
    return "–" if pd.isna(value) else FORMATS[FIGURES[name]](value)
