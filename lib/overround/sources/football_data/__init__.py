"""football-data.co.uk: results and prices, one file per league and season."""
