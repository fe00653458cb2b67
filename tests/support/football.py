"""Bookmakers of the recorded files."""

# columns of the eleven seasons as notes.txt of the provider lists them, written down anew here: prefix ->
# bookmaker
BOOKS = {
    "B365": "bet365",
    "BW": "bwin",
    "IW": "interwetten",
    "LB": "ladbrokes",
    "PS": "pinnacle",
    "WH": "williamhill",
    "SJ": "stanjames",
    "VC": "betvictor",
    "BF": "betfair_sportsbook",
    "1XB": "1xbet",
    "BFE": "betfair_exchange",
    "Max": "market_maximum",
    "Avg": "market_average",
    "BbMx": "market_maximum",
    "BbAv": "market_average",
}
