"""football-data.co.uk: a file of results and prices a season."""
