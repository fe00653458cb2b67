"""Leagues and seasons of football-data.co.uk, and which of their files can still change."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime

from overround.errors import ParameterError

DIVISIONS = {
    "E0": "England Premier League",
    "E1": "England Championship",
    "E2": "England League One",
    "E3": "England League Two",
    "EC": "England National League",
    "SC0": "Scotland Premiership",
    "SC1": "Scotland Championship",
    "SC2": "Scotland League One",
    "SC3": "Scotland League Two",
    "D1": "Germany Bundesliga",
    "D2": "Germany 2. Bundesliga",
    "I1": "Italy Serie A",
    "I2": "Italy Serie B",
    "SP1": "Spain La Liga",
    "SP2": "Spain Segunda Division",
    "F1": "France Ligue 1",
    "F2": "France Ligue 2",
    "N1": "Netherlands Eredivisie",
    "B1": "Belgium Pro League",
    "P1": "Portugal Primeira Liga",
    "T1": "Turkey Super Lig",
    "G1": "Greece Super League",
}
# each name begins with the text of the file's column Country
NEW_LEAGUES = {
    "ARG": "Argentina Primera Division",
    "AUT": "Austria Bundesliga",
    "BRA": "Brazil Serie A",
    "CHN": "China Super League",
    "DNK": "Denmark Superliga",
    "FIN": "Finland Veikkausliiga",
    "IRL": "Ireland Premier Division",
    "JPN": "Japan J1 League",
    "MEX": "Mexico Liga MX",
    "NOR": "Norway Eliteserien",
    "POL": "Poland Ekstraklasa",
    "ROU": "Romania Liga 1",
    "RUS": "Russia Premier League",
    "SWE": "Sweden Allsvenskan",
    "SWZ": "Switzerland Super League",
    "USA": "USA MLS",
}

# the new leagues that play from summer to summer, and so write two years; the others write the year. From
# ARG.csv ... USA.csv of 2018; Japan's league does so from August 2026 on
_TWO_YEARS = ("AUT", "DNK", "MEX", "POL", "ROU", "RUS", "SWZ")
_JAPAN_CHANGES = 2026
_FIRST_MONTH = 7  # of a season over two years

SEASON = re.compile("[0-9]{4}(/[0-9]{4})?")
# in place of a season: the matches of the next days
FIXTURES = "fixtures"


def is_over(league: str, season: str | None, at: datetime) -> bool:
    """Whether a file can no longer change: that of a division's season that is over."""
    # seasons end in May or June, 2019/20 ended in August; September is after all of them
    return (
        league in DIVISIONS
        and bool(season)
        and season != FIXTURES
        and at >= datetime(_first_year(season or "") + 1, 9, 1, tzinfo=UTC)
    )


def seasons_of(league: str, seasons: Sequence[str], now: datetime) -> Sequence[str | None]:
    """The seasons to fetch of a league, each once; None for all that a file of a new league holds.

    Raises
    ------
    ParameterError
        A league or season that cannot exist.
    """
    check_league(league)
    if league in DIVISIONS:
        latest = f"{now.year % 100:02}{(now.year + 1) % 100:02}"
        rule = (
            f"give seasons as two consecutive years, such as '2425', from '9394' to '{latest}', "
            f"or '{FIXTURES}' for the matches of the next days"
        )
        if not seasons:
            raise ParameterError(f"league {league} needs a season; {rule}.")
        wrong = [season for season in seasons if not 1993 <= _first_year(season) <= now.year]
    else:
        rule = (
            "write it as its file does, such as '2012' or '2012/2013', give none for all, "
            f"or '{FIXTURES}' for the matches of the next days"
        )
        wrong = [season for season in seasons if not SEASON.fullmatch(season)]
    if wrong:
        raise ParameterError(f"season {wrong[0]!r} cannot be used for league {league}; {rule}.")
    return list(dict.fromkeys(seasons)) or [None]


def check_league(league: str) -> None:
    """Refuse a league that does not exist."""
    if league not in DIVISIONS and league not in NEW_LEAGUES:
        raise ParameterError(
            f"league {league!r} is unknown; allowed: {', '.join((*DIVISIONS, *NEW_LEAGUES))}."
        )


def season_on(league: str, day: date) -> str:
    """The season in which a league plays on a day, as its files write it."""
    first = day.year - (day.month < _FIRST_MONTH)
    if league in DIVISIONS:
        return f"{first % 100:02}{(first + 1) % 100:02}"
    over_two_years = league in _TWO_YEARS or (league == "JPN" and first >= _JAPAN_CHANGES)
    return f"{first}/{first + 1}" if over_two_years else f"{day.year}"


def years_of(season: str, *, of_division: bool) -> tuple[int, int]:
    """First and last year in which a match of a season can be played."""
    if of_division:
        first = _first_year(season)
        return (first, first + 1) if first else (0, 9999)
    # Brazil's season 2020 ended in February 2021, a match of Argentina's 2013/2014 was played in January 2015
    return int(season[:4]), int(season[-4:]) + 1


def _first_year(season: str) -> int:
    """The year in which a division's season begins, 0 for a text that is not a season."""
    if not re.fullmatch("[0-9]{4}", season) or (int(season[:2]) + 1) % 100 != int(season[2:]):
        return 0
    return int(season[:2]) + (1900 if season >= "93" else 2000)
