"""Texts that parsers meet once in a million."""

EVENT = {
    "id": "e1",
    "sport_key": "soccer_nowhere",
    "commence_time": "2030-05-04T14:00:00Z",
    "home_team": "Ashford",
    "away_team": "Brook",
    "completed": True,
    "scores": [{"name": "Ashford", "score": "1"}, {"name": "Brook", "score": "0"}],
    "bookmakers": [
        {
            "key": "one",
            "markets": [
                {
                    "key": "h2h",
                    "outcomes": [{"name": "Ashford", "price": 1.8}, {"name": "Brook", "price": 2.2}],
                }
            ],
        }
    ],
}


NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {},
    "cells": [
        {
            "cell_type": "code",
            "metadata": {"tags": ["parameters"]},
            "outputs": [],
            "execution_count": None,
            "source": 'source: str = "sample"  # one of: sample, other\nleagues: list[str] = []\nmin_edge: float = 0.02  # 0 to 1\n'
            'seed: int = 7  # at least 0\nflat: bool = True\nstart: str = ""  # ISO date\nreference: str | None = None\nrun_id: str = ""\n',
        }
    ],
}
