"""Files of football-data.co.uk -> tidy tables: results, early and closing odds of football leagues, fixtures.

Nothing is guessed and nothing vanishes: a row or a cell that cannot be a fact is set aside with its line and
the reason. The columns are described at https://www.football-data.co.uk/notes.txt.
"""

import codecs
import csv
import re
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from overround.errors import SourceError
from overround.schema import COLLECTED, tidy
from overround.sources.base import SET_ASIDE_COLUMNS, Batch, Scope, event_id
from overround.sources.football_data.leagues import NEW_LEAGUES, SEASON, season_on, years_of
from overround.sources.football_data.odds_columns import ODDS_COLUMNS, Aside, long_form, put_aside
from overround.sources.football_data.results import read_scores, unplayed

SOURCE = "football-data"
_ZONE = "Europe/London"

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
    "comment": ("Comment", "Comments", "Note", "Notes", "Remark", "Remarks", "Status"),
}
# the columns about a match besides its odds; any other column is reported as unknown, so that a new
# bookmaker is never missed
_STATISTICS = re.compile(
    "Div|Country|League|Season|Date|Time|Attendance|Referee|(Home|Away)(Team)?|[HA]T|(FT|HT)?[HA]G|FTR|HTR|"
    "Res|[HA](S|ST|HW|C|F|FKC|O|Y|R|BP|xG)|Comments?|Notes?|Remarks?|Status"
)


def parse(
    content: bytes, where: str, *, competition: str, season: str | None, collected_at: datetime
) -> Batch:
    """Read one file of football-data.co.uk.

    A match whose score is missing, contradicts the result column, or stands beside a word such as AWD, ABD or
    P-P, has the status "unknown" and no scores; the event's status says which. A row whose date is not in the
    years of the season is set aside. Where a match is listed twice, the last row counts. Names of a team that
    differ only in case or white space are unified to the most frequent spelling in the file. `long_form`
    describes how prices are read. Clock times are UK local time; where the end of summer time makes one
    ambiguous, the earlier is taken, so that no bet is placed after the start.

    Parameters
    ----------
    content : bytes
        The answer's body; UTF-8, in lines that are not UTF-8 Windows-1252, or UTF-16 if its byte order mark
        says so.
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
        `scope` is complete if the file ends with a line feed, as every file of the provider does.

    Raises
    ------
    SourceError
        The content is not a file of matches of this league and season: a web page, an empty file, one cut off
        in its first match, one of another league.
    """
    aside: list[Aside] = []
    text = _decode(content, where)
    grid = _unify_spelling(_grid(text, where, aside))
    new = {"Country", "Season"} <= set(grid)
    if not new and season is None:
        raise SourceError(
            f"{where}: the columns Country and Season are missing; "
            f"a file of {competition} with the season of each match is expected."
        )
    if new and season is not None:
        grid = _rows_of_season(season, grid, where)
    seasons = grid["Season"] if new else pd.Series(season, grid.index, dtype=object)
    known = {one: years_of(one, of_division=not new) for one in seasons.unique() if SEASON.fullmatch(one)}
    years = tuple(seasons.map({one: span[end] for one, span in known.items()}) for end in (0, 1))
    good = _is_match(competition, grid, new, aside, years)
    if len(grid) and not good.any():
        line, column, text, reason = aside[-1]
        raise SourceError(
            f"{where}: none of its {len(grid)} rows is a match of {competition}; "
            f"line {line}, {column} {text!r}: {reason}."
        )
    phase = "close" if new else ""
    batch = _tables(grid[good], aside, competition, seasons[good], collected_at=collected_at, phase=phase)
    whole = (season,) if season else ()
    scope = Scope(where, competition, whole, collected_at, text.endswith("\n"), _ZONE)
    return replace(batch, set_aside=_set_aside(where, aside), scope=scope)


def parse_fixtures(content: bytes, where: str, *, competition: str, collected_at: datetime) -> Batch:
    """Read one league's matches in a file of the next days' matches: fixtures.csv or that of new leagues.

    It holds many leagues; rows of others are passed over. Its prices are those of the file, at a time that it
    does not say: they have the phase "early", until those of the season's file take their place. A match
    goes by the same identifier there. There are no results; a match with a score has been played and is set
    aside.

    Parameters
    ----------
    content, where, competition, collected_at
        As in `parse`.

    Returns
    -------
    Batch
        Without rows where the file lists no match of the league, as between two seasons.

    Raises
    ------
    SourceError
        The content is no such file: a web page, an empty file, one cut off in its first match.
    """
    aside: list[Aside] = []
    text = _decode(content, where)
    grid = _grid(text, where, aside, may_be_empty=True)
    of = _fields(grid)
    new = competition in NEW_LEAGUES
    leagues = of["country"] if new else of["division"]
    if not leagues.name:
        raise SourceError(
            f"{where}: the column {'Country' if new else 'Div'} is missing; "
            f"a file of the next matches of all leagues is expected."
        )
    ours = [
        f"{NEW_LEAGUES[competition]} ".startswith(f"{text} ") if new else text == competition
        for text in leagues
    ]
    others = set(grid.index[~np.array(ours, dtype=bool)])
    aside = [one for one in aside if one[0] not in others]
    grid = _unify_spelling(grid[np.array(ours, dtype=bool)].copy())
    played = (_fields(grid)["home_goals"] != "").to_numpy()
    put_aside(
        aside, _fields(grid)["home_goals"], played, "the match has been played; its season's file has it"
    )
    grid = grid[~played]
    year = collected_at.year
    grid = grid[_is_match(competition, grid, False, aside, (year - 1, year + 1))]
    if grid.empty:
        nothing = {name: tidy(name, []) for name in COLLECTED}
        return Batch(**nothing, set_aside=_set_aside(where, aside))
    days = _days(_fields(grid)["date"])
    seasons = pd.Series([season_on(competition, day) for day in days], grid.index)
    phase = "early" if new else ""
    batch = _tables(grid, aside, competition, seasons, collected_at=collected_at, phase=phase)
    # what a column of closing prices says before the match is none
    early = batch.quotes[batch.quotes["phase"] == "early"].reset_index(drop=True)
    scope = Scope(where, competition, (), collected_at, text.endswith("\n"), _ZONE)
    nothing = tidy("results", [])
    return Batch(batch.events, early, nothing, _set_aside(where, aside), provisional=True, scope=scope)


def _tables(
    grid: pd.DataFrame,
    aside: list[Aside],
    competition: str,
    seasons: pd.Series,
    *,
    collected_at: datetime,
    phase: str,
) -> Batch:
    """The tables of rows that are matches of one competition; the phase as `long_form` takes it."""
    of = _fields(grid)
    day = _days(of["date"])
    matches = zip(day.dt.strftime("%Y-%m-%d"), of["home"], of["away"], strict=True)
    ids = pd.Series([event_id(SOURCE, competition, *match) for match in matches], grid.index, dtype="str")
    last = _is_last(ids, grid, aside)
    grid, day, ids, seasons = grid[last], day[last], ids[last], seasons[last]
    of = _fields(grid)

    same: dict[str, Any] = {
        "competition": competition,
        "source": SOURCE,
        "sport": "soccer",
        "collected_at": collected_at,
    }
    table = pd.DataFrame({"event_id": ids, "season": seasons}).assign(**same)
    starts_at, time_known = _starts(day, of["time"], aside)
    ended_early = unplayed(of, aside)
    scores = read_scores(of, ended_early != "", aside)
    # the goals of full time are those of 90 minutes (notes.txt)
    results = table.assign(**scores, with_overtime=False)
    status = ended_early.where(
        ended_early != "", np.where(scores["status"] == "final", "played", "scheduled")
    )
    sides = {"home": of["home"], "away": of["away"]}
    events = table.assign(starts_at=starts_at, time_known=time_known, **sides, status=status)
    prices, match = long_form(grid, aside, phase=phase)
    quotes = prices.assign(
        **same, **{column: table[column].astype("str").array.take(match) for column in ("event_id", "season")}
    )
    return Batch(tidy("events", events), tidy("quotes", quotes), tidy("results", results))


def _set_aside(where: str, aside: list[Aside]) -> pd.DataFrame:
    rows = [(where, *one) for one in sorted(aside, key=lambda one: one[0])]
    return pd.DataFrame(rows, columns=list(SET_ASIDE_COLUMNS))


def _decode(content: bytes, where: str) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = content.decode("utf-16", "replace")
    else:
        # line by line: an odd byte in one line does not change the letters of the others
        text = "\n".join(map(_decode_line, content.split(b"\n")))
    text = text.lstrip("\ufeff")
    wrong = "a web page" if text.lstrip().startswith("<") else "" if text.strip() else "empty"
    if wrong:
        raise SourceError(
            f"{where}: the answer is {wrong}; a CSV file with Date, HomeTeam and AwayTeam is expected."
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decode_line(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        # the file's byte order mark is a mark in any case, not three letters
        return line.removeprefix(codecs.BOM_UTF8).decode("cp1252", "replace")


def _grid(text: str, where: str, aside: list[Aside], *, may_be_empty: bool = False) -> pd.DataFrame:
    """Stripped cells of the lines that are not blank, by 1-based line and name of the column."""
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
    if not kept and (cut or len(texts) == 1 or not may_be_empty):
        how = "is cut off before its first match is complete" if cut or len(texts) == 1 else "holds no match"
        raise SourceError(f"{where}: the file {how}; its first line is {texts[0][:80]!r}.")
    if not all(any(name in header for name in _FIELDS[field]) for field in ("date", "home", "away")):
        raise SourceError(
            f"{where}: the first line is {','.join(header)[:80]!r}; "
            "a file with Date, HomeTeam and AwayTeam is expected."
        )
    cells = np.array(kept, dtype=object).reshape(-1, width)
    return pd.DataFrame(cells, numbers, _names(header, cells, aside), dtype=object)


def _names(header: list[str], cells: np.ndarray, aside: list[Aside]) -> list[str]:
    """Names of the columns; one without a name of its own is called by its number, such as #3."""
    names: list[str] = []
    for number, name in enumerate(header):
        filled = bool((cells[:, number] != "").any())
        if name in names:
            aside.append((1, name, "", "a second column of this name; the first one is read"))
        elif not name:
            if filled:
                aside.append((1, "", "", f"column {number + 1} has cells but no name; not read"))
        elif filled and not _STATISTICS.fullmatch(name) and not ODDS_COLUMNS.fullmatch(name):
            aside.append((1, name, "", "a column that football-data.co.uk does not describe; not read"))
        names.append(name if name and name not in names else f"#{number + 1}")
    return names


def _fields(grid: pd.DataFrame) -> dict[str, pd.Series]:
    """The fields we read, each under the name of its column; empty ones where the file has none."""
    empty = pd.Series("", grid.index, dtype=object, name="")
    return {
        field: next((grid[name] for name in names if name in grid), empty) for field, names in _FIELDS.items()
    }


def _unify_spelling(grid: pd.DataFrame) -> pd.DataFrame:
    columns = [_fields(grid)[side].name for side in ("home", "away")]
    teams = grid[columns].map(lambda name: " ".join(name.split()))
    chosen: dict[str, str] = {}
    # most_common is stable: among equally frequent spellings the first in the file wins
    for spelling, _ in Counter(teams.to_numpy().ravel()).most_common():
        chosen.setdefault(spelling.casefold(), spelling)
    grid[columns] = teams.map(lambda name: chosen[name.casefold()])
    return grid


def _rows_of_season(season: str, grid: pd.DataFrame, where: str) -> pd.DataFrame:
    rows = grid[grid["Season"] == season]
    if rows.empty:
        holds = ", ".join(dict.fromkeys(filter(SEASON.fullmatch, grid["Season"])))
        raise SourceError(f"{where}: holds no season {season!r}; it holds {holds or 'none'}.")
    return rows


def _days(text: pd.Series) -> pd.Series:
    four, two = (pd.to_datetime(text, format=form, errors="coerce") for form in ("%d/%m/%Y", "%d/%m/%y"))
    return four.fillna(two)


def _is_match(
    competition: str, grid: pd.DataFrame, new: bool, aside: list[Aside], years: tuple[Any, Any]
) -> np.ndarray:
    """Mask (n,) of the rows that are matches of this competition; the others are set aside."""
    of = _fields(grid)
    day = _days(of["date"])
    checks = [
        ("date", day.isna(), "not a date; dd/mm/yy or dd/mm/yyyy is expected"),
        ("home", of["home"] == "", "the home team is missing"),
        ("away", of["away"] == "", "the away team is missing"),
        ("away", of["home"] == of["away"], "a team cannot play itself"),
    ]
    if new:
        other = [not SEASON.fullmatch(season) for season in of["season"]]
        checks += [
            ("season", of["season"] == "", "the season is missing"),
            ("season", other, "not a season; 2012 or 2012/2013 is expected"),
        ]
    outside = (day.dt.year < years[0]) | (day.dt.year > years[1])
    checks.append(("date", outside, "a day that is not in the years of the season"))
    if of["division"].name:
        other = of["division"] != competition
        checks.append(("division", other, f"a match of another division than {competition}"))
    if of["country"].name:
        ours = NEW_LEAGUES.get(competition, "")
        other = [not country or not ours.startswith(country) for country in of["country"]]
        checks.append(("country", other, f"a match of another country than that of {competition}"))
    good = np.ones(len(grid), dtype=bool)
    for field, wrong, reason in checks:
        first = good & np.asarray(wrong, dtype=bool)
        put_aside(aside, of[field], first, reason)
        good &= ~first
    return good


def _is_last(ids: pd.Series, grid: pd.DataFrame, aside: list[Aside]) -> pd.Series:
    """Whether no later row is of the same match; the others are set aside."""
    again = ids.duplicated(keep="last")
    line_of = dict(zip(ids, ids.index, strict=True))  # of the last
    for line, match in ids[again].items():
        row, twin = grid.loc[line], grid.loc[line_of[match]]
        how = "word for word" if row.equals(twin) else "with other values, which count"
        aside.append((line, "", ",".join(row), f"the match is listed again in line {line_of[match]}, {how}"))
    return ~again


def _starts(day: pd.Series, time: pd.Series, aside: list[Aside]) -> tuple[pd.Series, pd.Series]:
    clock = pd.to_datetime(time, format="%H:%M", errors="coerce")
    put_aside(aside, time, clock.isna() & (time != ""), "not a time of day; HH:MM is expected")
    local = day + (clock - clock.dt.normalize())
    summer = np.ones(len(day), dtype=bool)
    utc = local.dt.tz_localize(_ZONE, ambiguous=summer, nonexistent="shift_forward").dt.tz_convert("UTC")
    return utc.fillna(day.dt.tz_localize("UTC")), clock.notna()
