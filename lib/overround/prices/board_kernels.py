"""Compiled loops over a board's moments; import this module only inside the function that needs it."""

import numpy as np

from overround.measure.numba_compile import compiled


@compiled
def carry_forward(row, since, begin):
    """Let each price stand until its bookmaker shows another, or none.

    Fills `row` (K, T, 3) and `since` (K, T).

    `begin` is, for each moment, the first of its market; nothing is carried across that. -1 means no price,
    -2 in `row` that it was withdrawn at this moment.
    """
    for book in range(row.shape[0]):
        for t in range(row.shape[1]):
            opens = begin[t] == t
            moved = False
            for slot in range(3):
                if row[book, t, slot] >= 0:
                    moved = True
                elif row[book, t, slot] == -2:
                    row[book, t, slot] = -1
                    moved = True
                elif not opens:
                    row[book, t, slot] = row[book, t - 1, slot]
            if moved:
                since[book, t] = t
            elif not opens:
                since[book, t] = since[book, t - 1]


@compiled
def count_ways(price, drawn, shown, begin, h2h, low, high, ways):
    """See `ways.ways_on_board`: fills `ways`; two ways are a book from `low` to `high`."""
    books, moments = shown.shape
    two, three = np.zeros(moments, np.bool_), np.zeros(moments, np.bool_)
    unknown = False
    for book in range(books):
        draw = False
        for t in range(moments):
            draw = drawn[book, t] or (draw and begin[t] != t)
            if not (shown[book, t] and h2h[t]):
                continue
            if draw:
                ways[book, t] = 3
                three[t] = True
            elif low <= 1 / price[book, t, 0] + 1 / price[book, t, 2] <= high:
                ways[book, t] = 2
                two[t] = True
            else:
                unknown = True
    if unknown:
        for book in range(books):
            for t in range(moments):
                if shown[book, t] and h2h[t] and ways[book, t] == 0 and two[t] != three[t]:
                    ways[book, t] = 2 if two[t] else 3


@compiled
def chain_cumsum(step, begin):
    """Running sum of `step` (K, T, 3) from the first moment of each market on, in place."""
    for book in range(step.shape[0]):
        for t in range(step.shape[1]):
            if begin[t] != t:
                for slot in range(step.shape[2]):
                    step[book, t, slot] += step[book, t - 1, slot]


@compiled
def first_passage(fair, move_at, slot, leader, need, until, end, when):
    """The first moment after each move at which each bookmaker has itself moved by `need` (relative, signed).

    `fair` is (K, T, 3); over moves: `move_at` the moment before which nobody had seen it, `need`, and the
    last moment that counts (`end`, exclusive). `when` (moves, K) is filled with that moment; -1: not within
    the time, -2: no price to move.
    """
    for i in range(len(move_at)):
        for book in range(fair.shape[0]):
            start = fair[book, move_at[i], slot[i]]
            if book == leader or not start > 0:
                when[i, book] = -2
                continue
            when[i, book] = -1
            for t in range(until[i], end[i]):
                change = fair[book, t, slot[i]] / start - 1
                if (need[i] > 0 and change >= need[i]) or (need[i] < 0 and change <= need[i]):
                    when[i, book] = t
                    break


@compiled
def moment_before(time, begin, window, out):
    """Last moment of the same market at least `window` before each, into `out`; -1 where there is none."""
    pointer = 0
    for t in range(len(time)):
        if begin[t] == t:
            pointer = t
        while pointer + 1 < t and time[pointer + 1] <= time[t] - window:
            pointer += 1
        out[t] = pointer if time[pointer] <= time[t] - window else -1


@compiled
def moments_within(time, begin, wait, out):
    """For each moment one past the last one of the same market that is at most `wait` later, into `out`."""
    end = 0
    for t in range(len(time)):
        while end < len(time) and begin[end] == begin[t] and time[end] <= time[t] + wait:
            end += 1
        out[t] = end
