"""One name per bookmaker, whichever provider quotes it: full, lower case, words joined by underscores."""

from collections.abc import Mapping

# prefixes of the columns of football-data.co.uk, from its notes.txt; P is Pinnacle in the totals and handicap
# columns
FOOTBALL_DATA = {
    "B365": "bet365",
    "BF": "betfair_sportsbook",
    "BFD": "betfred",
    "BFE": "betfair_exchange",
    "BMGM": "betmgm",
    "BS": "bluesquare",
    "BV": "betvictor",
    "BW": "bwin",
    "CL": "coral",
    "GB": "gamebookers",
    "IW": "interwetten",
    "LB": "ladbrokes",
    "P": "pinnacle",
    "PP": "paddypower",
    "PS": "pinnacle",
    "SB": "sportingbet",
    "SJ": "stanjames",
    "SKB": "skybet",
    "SO": "sportingodds",
    "SY": "stanleybet",
    "VC": "betvictor",
    "WH": "williamhill",
    "1XB": "1xbet",
    "Max": "market_maximum",
    "Avg": "market_average",
    "BbMx": "market_maximum",
    "BbAv": "market_average",
}

# keys of The Odds API that differ from our names; every other key is already a full name. Barstool is gone
# since November 2023: https://github.com/callmevojtko/Recommended-Bets-By-Email-MLB/issues/5
THE_ODDS_API = {
    "barstool": "espnbet",
    "betfair_ex_au": "betfair_exchange",
    "betfair_ex_eu": "betfair_exchange",
    "betfair_ex_uk": "betfair_exchange",
    "betfair_sb_uk": "betfair_sportsbook",
    "ladbrokes_uk": "ladbrokes",
    "onexbet": "1xbet",
    "sport888": "888sport",
}


def from_the_odds_api(key: str, renamed: Mapping[str, str]) -> str:
    """Name of the bookmaker behind a key of The Odds API; `renamed` maps old names to those that go on."""
    name = THE_ODDS_API.get(key, key)
    return renamed.get(key, renamed.get(name, name))
