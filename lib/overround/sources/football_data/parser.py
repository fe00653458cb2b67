"""Files of football-data.co.uk -> tidy tables: results, early and closing odds of football leagues.

Nothing is guessed and nothing vanishes: a row or a cell that cannot be a fact is set aside with its line and
the reason. The columns are described at https://www.football-data.co.uk/notes.txt.
"""

import csv
import re
from collections import Counter
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from overround.errors import SourceError
from overround.schema import tidy
from overround.sources.base import SET_ASIDE_COLUMNS, Batch, event_id
from overround.sources.football_data.leagues import NEW_LEAGUES, SEASON
from overround.sources.football_data.odds_columns import ODDS_COLUMNS, Aside, long_form, put_aside

SOURCE = "football-data"

# the fields we read of a match, and their column names in the various layouts
_FIELDS = {
    "date": ("Date",),
    "time": ("Time",),
    "home": ("HomeTeam", "HT", "Home"),
    "away": ("AwayTeam", "AT", "Away"),
    "home_goals": ("FTHG", "HG"),
    "away_goals": ("FTAG", "AG"),
    "winner": ("FTR", "Res"),
    "division": ("Div",),
    "country": ("Country",),
    "season": ("Season",),
}
# the columns about a match besides its odds; any other column is reported as unknown, so that a new
# bookmaker is never missed
_STATISTICS = re.compile(
    "Div|Country|League|Season|Date|Time|Attendance|Referee|(Home|Away)(Team)?|[HA]T|(FT|HT)?[HA]G|FTR|HTR|"
    "Res|[HA](S|ST|HW|C|F|FKC|O|Y|R|BP|xG)"
)


def parse(
    content: bytes, where: str, *, competition: str, season: str | None, collected_at: datetime
) -> Batch:
    """Read one file of football-data.co.uk.

    A match whose score is missing, or contradicts the result column, has the status "unknown" and no scores.
    Where a match is listed twice, the last row counts. Names of a team that differ only in case or white
    space are unified to the most frequent spelling in the file. `long_form` describes how prices are read.
    Clock times are UK local time; where the end of summer time makes one ambiguous, the earlier is taken, so
    that no bet is placed after the start.

    Parameters
    ----------
    content : bytes
        The answer's body; UTF-8 or Windows-1252.
    where : str
        URL without secrets, for messages and `set_aside`.
    competition, season : str
        Stored as given. A file of a new league holds many seasons: only this one is read, or all for None.
    collected_at : datetime
        When the provider answered, with a time zone.

    Returns
    -------
    Batch
        `quotes` has one row per price, in decimal odds; the line is in goals, for spreads the home team's.

    Raises
    ------
    SourceError
        The content is not a file of matches of this league and season: a web page, an empty file, one cut off
        in its first match, one of another league.
    """
    aside: list[Aside] = []
    header, lines, cells = _grid(_decode(content, where), where, aside)
    names = _column_numbers(header, cells, aside)
    called = {
        field: next((name for name in choice if name in names), "") for field, choice in _FIELDS.items()
    }
    if not (called["date"] and called["home"] and called["away"]):
        raise SourceError(
            f"{where}: the first line is {','.join(header)[:80]!r}; "
            "a file with Date, HomeTeam and AwayTeam is expected."
        )
    _unify_spelling(cells, names[called["home"]], names[called["away"]])
    new = bool(called["country"] and called["season"])
    if new and season is not None:
        of_season = _rows_of_season(season, cells[:, names[called["season"]]], where)
        lines, cells = lines[of_season], cells[of_season]

    table = pd.DataFrame(
        {field: cells[:, names[name]] if name else "" for field, name in called.items()},
        range(len(cells)),
        dtype=object,
    )
    table["day"] = _days(table["date"])
    if not new:
        table["season"] = season
    good = _matches_of(competition, table, called, lines, where, aside)
    table, lines, cells = table[good].reset_index(drop=True), lines[good], cells[good]
    matches = zip(table["day"].dt.strftime("%Y-%m-%d"), table["home"], table["away"], strict=True)
    table["event_id"] = [event_id(SOURCE, competition, *match) for match in matches]
    last = _last_of_each(table["event_id"], lines, cells, aside)
    table, lines, cells = table[last].reset_index(drop=True), lines[last], cells[last]

    same: dict[str, Any] = {
        "competition": competition,
        "source": SOURCE,
        "sport": "soccer",
        "collected_at": collected_at,
    }
    starts_at, time_known = _starts(table, lines, aside)
    events = table[["event_id", "season", "home", "away"]].assign(
        **same, starts_at=starts_at, time_known=time_known
    )
    results = table[["event_id", "season"]].assign(**same, **_scores(table, called, lines, aside))
    prices, match = long_form(names, cells, lines, aside, always_close=new)
    quotes = prices.assign(
        **same, **{column: table[column].astype("str").array.take(match) for column in ("event_id", "season")}
    )
    return Batch(
        tidy("events", events), tidy("quotes", quotes), tidy("results", results), _table(where, aside)
    )


def _decode(content: bytes, where: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")
    if not text.strip():
        raise SourceError(
            f"{where}: the answer is empty; a CSV file with Date, HomeTeam and AwayTeam is expected."
        )
    if text.lstrip().startswith("<"):
        raise SourceError(
            f"{where}: the answer is a web page; a CSV file with Date, HomeTeam and AwayTeam is expected."
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _grid(text: str, where: str, aside: list[Aside]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Header, 1-based line numbers (n,) and stripped cells (n, k) of the lines that are not blank."""
    texts = text.split("\n")
    # one reader per line: a stray quotation mark spoils its own line, not the rest of the file
    try:
        rows = [[cell.strip() for cell in next(csv.reader([line]), [])] for line in texts]
    except csv.Error as error:
        raise SourceError(
            f"{where}: not a CSV file ({error}); a file with Date, HomeTeam and AwayTeam is expected."
        ) from None
    header, width = rows[0], len(rows[0])
    # every file of the provider ends with a line feed
    cut = len(rows) if texts[-1] and len(rows[-1]) < width else 0
    kept: list[list[str]] = []
    numbers = []
    for number, row in enumerate(rows[1:], start=2):
        if number == cut:
            aside.append((number, "", texts[-1], "the file is cut off in this line"))
        elif any(row):
            aside += [(number, "", cell, "beyond the header's last column") for cell in row[width:] if cell]
            kept.append(row[:width] + [""] * (width - len(row)))
            numbers.append(number)
    if not kept:
        how = "is cut off before its first match is complete" if cut or len(texts) == 1 else "holds no match"
        raise SourceError(f"{where}: the file {how}; its first line is {texts[0][:80]!r}.")
    return header, np.array(numbers, dtype=int), np.array(kept, dtype=object)


def _column_numbers(header: list[str], cells: np.ndarray, aside: list[Aside]) -> dict[str, int]:
    names: dict[str, int] = {}
    for number, name in enumerate(header):
        filled = bool((cells[:, number] != "").any())
        if name in names:
            aside.append((1, name, "", "a second column of this name; the first one is read"))
        elif name:
            names[name] = number
            if filled and not _STATISTICS.fullmatch(name) and not ODDS_COLUMNS.fullmatch(name):
                aside.append((1, name, "", "a column that football-data.co.uk does not describe; not read"))
        elif filled:
            aside.append((1, "", "", f"column {number + 1} has cells but no name; not read"))
    return names


def _unify_spelling(cells: np.ndarray, home: int, away: int) -> None:
    teams = np.array([" ".join(name.split()) for name in cells[:, [home, away]].ravel()], dtype=object)
    counts = Counter(teams)
    chosen: dict[str, str] = {}
    # most_common is stable: among equally frequent spellings the first in the file wins
    for spelling, _ in counts.most_common():
        chosen.setdefault(spelling.casefold(), spelling)
    cells[:, [home, away]] = np.array([chosen[name.casefold()] for name in teams], dtype=object).reshape(
        -1, 2
    )


def _rows_of_season(season: str, seasons: np.ndarray, where: str) -> np.ndarray:
    rows = seasons == season
    if not rows.any():
        holds = ", ".join(dict.fromkeys(filter(SEASON.fullmatch, seasons)))
        raise SourceError(f"{where}: holds no season {season!r}; it holds {holds or 'none'}.")
    return rows


def _days(text: pd.Series) -> pd.Series:
    four, two = (pd.to_datetime(text, format=form, errors="coerce") for form in ("%d/%m/%Y", "%d/%m/%y"))
    return four.fillna(two)


def _matches_of(
    competition: str,
    table: pd.DataFrame,
    called: dict[str, str],
    lines: np.ndarray,
    where: str,
    aside: list[Aside],
) -> np.ndarray:
    """Mask (n,) of the rows that are matches of this competition; the others are set aside."""
    checks = [
        ("date", table["day"].isna(), "not a date; dd/mm/yy or dd/mm/yyyy is expected"),
        ("home", table["home"] == "", "the home team is missing"),
        ("away", table["away"] == "", "the away team is missing"),
        ("away", table["home"] == table["away"], "a team cannot play itself"),
        ("season", table["season"] == "", "the season is missing"),
    ]
    if called["season"] and called["country"]:
        no_season = [not SEASON.fullmatch(season) for season in table["season"]]
        checks.append(
            ("season", pd.Series(no_season, dtype=bool), "not a season; 2012 or 2012/2013 is expected")
        )
    if called["division"]:
        checks.append(
            ("division", table["division"] != competition, f"a match of another division than {competition}")
        )
    if called["country"]:
        ours = [
            bool(country) and NEW_LEAGUES.get(competition, "").startswith(country)
            for country in table["country"]
        ]
        checks.append(
            (
                "country",
                ~pd.Series(ours, dtype=bool),
                f"a match of another country than that of {competition}",
            )
        )
    good = np.ones(len(table), dtype=bool)
    for field, wrong, reason in checks:
        first = good & wrong.to_numpy(dtype=bool)
        put_aside(aside, lines, called[field], table[field], first, reason)
        good &= ~first
    if len(table) and not good.any():
        line, column, text, reason = aside[-1]
        raise SourceError(
            f"{where}: none of its {len(table)} rows is a match of {competition}; "
            f"line {line}, {column} {text!r}: {reason}."
        )
    return good


def _last_of_each(ids: pd.Series, lines: np.ndarray, cells: np.ndarray, aside: list[Aside]) -> np.ndarray:
    keep = ~ids.duplicated(keep="last").to_numpy()
    where_kept = dict(zip(ids[keep], np.flatnonzero(keep), strict=True))
    for row in np.flatnonzero(~keep):
        twin = where_kept[ids[row]]
        how = "word for word" if (cells[row] == cells[twin]).all() else "with other values, which count"
        aside.append(
            (lines[row], "", ",".join(cells[row]), f"the match is listed again in line {lines[twin]}, {how}")
        )
    return keep


def _starts(table: pd.DataFrame, lines: np.ndarray, aside: list[Aside]) -> tuple[pd.Series, pd.Series]:
    clock = pd.to_datetime(table["time"], format="%H:%M", errors="coerce")
    put_aside(
        aside,
        lines,
        "Time",
        table["time"],
        clock.isna() & (table["time"] != ""),
        "not a time of day; HH:MM is expected",
    )
    local = table["day"] + (clock - clock.dt.normalize())
    summer = np.ones(len(table), dtype=bool)
    utc = local.dt.tz_localize("Europe/London", ambiguous=summer, nonexistent="shift_forward").dt.tz_convert(
        "UTC"
    )
    return utc.fillna(table["day"].dt.tz_localize("UTC")), clock.notna()


def _scores(
    table: pd.DataFrame, called: dict[str, str], lines: np.ndarray, aside: list[Aside]
) -> dict[str, pd.Series]:
    goals: dict[str, pd.Series] = {}
    for field in ("home_goals", "away_goals"):
        text, number = table[field], pd.to_numeric(table[field], errors="coerce")
        usable = (number >= 0) & (number % 1 == 0) & (number < 100)
        put_aside(aside, lines, called[field], text, ~usable & (text != ""), "not a score")
        goals[field] = number.where(usable)
    difference = (goals["home_goals"] - goals["away_goals"]).clip(-1, 1)
    says = table["winner"].map({"H": 1.0, "D": 0.0, "A": -1.0}).astype(float)
    contradicts = difference.notna() & says.notna() & (difference != says)
    put_aside(
        aside,
        lines,
        called["winner"],
        table["winner"],
        contradicts,
        "contradicts the score; neither is taken",
    )
    final = difference.notna() & ~contradicts
    home, away = (goals[field].where(final).astype("Int32") for field in goals)
    return {
        "home_score": home,
        "away_score": away,
        "status": pd.Series(np.where(final, "final", "unknown"), index=table.index),
    }


def _table(where: str, aside: list[Aside]) -> pd.DataFrame:
    rows = [
        (where, int(line), column, text, reason)
        for line, column, text, reason in sorted(aside, key=lambda one: one[0])
    ]
    return pd.DataFrame(rows, columns=list(SET_ASIDE_COLUMNS))
