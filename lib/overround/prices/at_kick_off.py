"""Which prices stood at kick-off: those that an answer shortly before it still showed."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Whole
from overround.grouping import column_codes
from overround.times import HOUR_US, microseconds

# a gap of the feed is longer than this many of the usual steps from answer to answer, and than half an hour
_STEPS = 2
_LEAST_US = HOUR_US // 2
_ANSWERS = 20  # before kick-off, of which the usual step is the median
_SECOND_US = 1_000_000


def stood_at_kick_off(quotes: pd.DataFrame, rows: Whole) -> NDArray[np.bool_]:
    """Whether what each of these quotes says was still so at kick-off, as far as the collector can know.

    A collector stores what changes, so a price that was not withdrawn stood in every later answer of its
    competition. If the last one before kick-off came too early, the feed had a gap, and what stood is not
    known: too early is more than twice the usual step (the median of the last twenty before kick-off) and
    more than half an hour. The times of answers are those at which any of the competition's prices were
    collected, and `last_asked_at` where it is known. Where a competition has a single answer, there is no
    step to go by, and it counts.

    A price that was collected after kick-off stood at it if its bookmaker's own clock, or the answer, is that
    close to kick-off. Quotes without a clock time (early, close) stood by their provider's word.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`, with `starts_at`, and `last_asked_at` if it is known.
    rows : ndarray of int
        Positions in it.

    Returns
    -------
    ndarray of bool, shape (len(rows),)
    """
    stood = np.ones(len(rows), bool)
    phase, starts = quotes["phase"], microseconds(quotes["starts_at"])
    timed = np.flatnonzero((phase == "snapshot").to_numpy()[rows] & (starts[rows] > np.iinfo(np.int64).min))
    if not len(timed):
        return stood
    at = rows if len(timed) == len(rows) else rows[timed]
    starts, collected = starts[at], microseconds(quotes["collected_at"])[at]
    place = column_codes(quotes["competition" if "competition" in quotes else "event_id"])[0][at]
    event, n_events = column_codes(quotes["event_id"])
    event = event[at]
    # one number for place and time, in whole seconds, so that one search finds the answers before a kick-off
    origin = min(collected.min(), starts.min())
    span = (max(collected.max(), starts.max()) - origin) // _SECOND_US + 2
    answers = (collected - origin) // _SECOND_US
    answers += place * span
    # rows mostly come in the order of time, a few to an answer
    answers = np.unique(answers[np.append(True, answers[1:] != answers[:-1])])
    kick_off, place_of = np.full(n_events, origin), np.zeros(n_events, np.int64)
    kick_off[event], place_of[event] = starts, place
    match, matches = pd.factorize(place_of * span + (kick_off - origin) // _SECOND_US)
    since, limit = _since_last_answer(answers, matches, span)
    if "last_asked_at" in quotes:
        asked = np.full(n_events, np.iinfo(np.int64).min)
        asked[event] = microseconds(quotes["last_asked_at"])[at]
        told = np.flatnonzero((asked > np.iinfo(np.int64).min) & (asked <= kick_off))
        np.minimum.at(since, match[told], (kick_off - asked)[told] // _SECOND_US)
    known = (since <= limit)[match]
    # the bookmaker's clock counts only for what is left
    left = np.flatnonzero(~known[event] | (collected > starts))
    allowed = (limit * _SECOND_US)[match[event[left]]]
    late = (collected - starts)[left]
    observed = microseconds(quotes["observed_at"])[at[left]]
    stood[timed[left]] = (starts[left] - observed <= allowed) | ((late > 0) & (late <= allowed))
    return stood


def _since_last_answer(answers: Whole, matches: Whole, span: int) -> tuple[Whole, NDArray[np.float64]]:
    """Seconds from the last answer to each kick-off, and how many there may be."""
    place = matches // span
    begin = np.searchsorted(answers, place * span)
    end = np.searchsorted(answers, matches, side="right")
    back = np.maximum(end[:, None] - 1 - np.arange(_ANSWERS + 1), begin[:, None])
    steps = -np.diff(answers[np.minimum(back, len(answers) - 1)], axis=1).astype(float)
    # the first answer of a competition has none before it
    steps[back[:, :-1] == back[:, 1:]] = np.inf
    steps.sort(axis=1)
    n = np.maximum(np.isfinite(steps).sum(axis=1), 1)
    each = np.arange(len(n))
    usual = (steps[each, (n - 1) // 2] + steps[each, n // 2]) / 2
    since = np.where(end > begin, matches - answers[np.maximum(end - 1, 0)], 0)
    return since, np.maximum(_STEPS * usual, _LEAST_US / _SECOND_US)
