"""Pollers that are killed at any moment: what stands in the end is what the last answer shows."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from overround import Store
from overround.sources.replay import recorded_answers, replayed
from tests.support.commands import ROOT
from tests.support.polls import WORLD_CUP, shown_prices

_OFFER = ["event_id", "bookmaker", "market", "line", "outcome"]
_POLLER = """
import sys
from itertools import count
from pathlib import Path
from overround.collection import PollSettings, poll
from overround.sources.the_odds_api.client import Offer
from tests.support.polls import WORLD_CUP, settings_for
url, folder, started, polls = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
turns = count()
print("polling", flush=True)
poll(
    [WORLD_CUP],
    PollSettings(every_s=30, polls=polls or None, ttl=0, offer=Offer(markets="h2h,totals", odds_format="american")),
    settings=settings_for(folder, url),
    sleep=lambda _: None,
    clock=lambda: started + 30 * next(turns),
)
"""


@pytest.mark.slow
def test_killed_at_random_moments_pollers_leave_what_the_last_answer_shows(recorded: Path, tmp_path: Path):
    answers = recorded_answers(recorded / "the-odds-api" / WORLD_CUP / "odds")[400:700]
    rng = random.Random(5)  # noqa: S311
    with replayed(answers) as server:

        def poller(polls: int) -> subprocess.Popen:
            words = [server.url, str(tmp_path), str(answers[0].at.timestamp()), str(polls)]
            return subprocess.Popen(
                [sys.executable, "-c", _POLLER, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True
            )

        for _ in range(12):
            with poller(0) as process:
                assert process.stdout is not None and process.stdout.readline() == "polling\n"
                time.sleep(rng.uniform(0.2, 2.0))
                process.kill()
        reached = server.turn
        server.turn = max(server.turn, len(answers) - 1)
        with poller(2) as process:
            assert process.wait(120) == 0

    assert reached > 20  # it was killed between answers, not before the first
    quotes = Store(str(tmp_path / "store")).read("quotes")
    assert not quotes.duplicated([*_OFFER, "observed_at"]).any()
    last = quotes.sort_values(["collected_at", "observed_at"]).drop_duplicates(_OFFER, keep="last")
    last = last[last["starts_at"] > pd.Timestamp(answers[-1].at)]
    stands = last[last["price"].notna()]
    line = stands["line"].astype(object).where(stands["line"].notna(), None)
    key = stands.assign(line=line)[_OFFER].itertuples(index=False, name=None)
    assert dict(zip(key, stands["price"].round(9), strict=True)) == shown_prices(answers[-1])
    assert (last["price"].isna()).sum() > 20
    # changes only: no two rows of a selection in a row say the same
    in_order = quotes.sort_values(["observed_at"], kind="stable")
    before = in_order.groupby(_OFFER, dropna=False, observed=True)["price"].shift()
    first = ~in_order.duplicated(_OFFER)
    same = (in_order["price"] == before) | (in_order["price"].isna() & before.isna() & ~first)
    assert not same.any()
