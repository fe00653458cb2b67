"""When prices were looked at: gaps found where they were made, also where a look found nothing new."""

import pandas as pd
import pytest

from overround import figures
from overround.collection.poll_times import gaps, observations, regularity, spans


def at(*minutes: float) -> pd.DatetimeIndex:
    return pd.Timestamp("2030-05-04T12:00Z") + pd.to_timedelta(list(minutes), unit="min")


def seen(competition: str, *minutes: float) -> pd.DataFrame:
    return pd.DataFrame({"competition": competition, "collected_at": at(*minutes)})


def calls(endpoint: str, *minutes: float, status: int = 200, from_cache: bool = False) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "endpoint": endpoint,
            "status": status,
            "from_cache": from_cache,
            "at": at(*minutes),
            "quota_remaining": 5.0,
        }
    )


LIVE = "https://x/v4/sports/soccer_a/odds?regions=eu"
NONE = calls(LIVE)


def test_a_look_that_found_nothing_new_is_told_by_its_call():
    past, file = (
        calls("https://x/v4/historical/sports/soccer_a/odds?date=2020", 9),
        calls("https://x/mmz4281/2425/E0.csv", 9),
    )
    requests = pd.concat(
        [calls(LIVE, 0, 1, 2), calls(LIVE, 3, status=500), calls(LIVE, 4, from_cache=True), past, file]
    )

    looks = observations(seen("soccer_a", 0, 0, 5), requests)

    assert looks["at"].tolist() == at(0, 1, 2, 5).tolist()
    assert set(looks["competition"]) == {"soccer_a"}


def test_gaps_are_longer_than_three_times_the_usual_time_between_looks():
    looks = observations(pd.concat([seen("a", 0, 1, 2, 3, 60, 61, 62), seen("b", 0, 30, 60, 90)]), NONE)

    assert gaps(looks).to_dict("records") == [
        {"competition": "a", "begin": at(3)[0], "end": at(60)[0], "hours": 57 / 60}
    ]
    assert spans(looks)["observations"].tolist() == [4, 3, 4]


def test_regularity_says_how_often_and_what_share_of_the_time():
    table = regularity(observations(pd.concat([seen("a", 0, 1, 2, 3, 60, 61, 62), seen("b", 5)]), NONE))

    # 5 of 62 minutes
    assert table.loc["a", ["looks", "usual_minutes", "longest_minutes"]].tolist() == [7, 1, 57]
    assert abs(table.loc["a", "covered"] - 5 / 62) < 1e-9
    assert table.loc["b", "covered"] == 1


@pytest.mark.slow
def test_the_figures_say_in_words_what_they_show():
    looks = observations(pd.concat([seen("a", 0, 1, 2, 3, 60, 61, 62), seen("b", 0, 30, 60, 90)]), NONE)

    shown = figures.looks(looks)
    quota = figures.over_time(
        calls(LIVE, 0, 1).set_index("at")["quota_remaining"], "Quota that remains", "credits"
    )
    nothing = figures.over_time(pd.Series(dtype=float), "Quota that remains", "credits")

    assert (
        shown.alt
        == "Times at which 2 competitions were looked at, with 1 gaps; the longest, of 0.9 hours, at a."
    )
    assert quota.alt == "Quota that remains, 2 points over time: from 5 to 5, at most 5 credits."
    assert nothing.alt.endswith("nothing is known.")
    assert all(one.svg().startswith(b"<?xml") for one in (shown, quota, nothing, figures.looks(looks[:0])))
