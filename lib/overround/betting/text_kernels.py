"""Compiled loops over Arrow's columns of text: `offsets` (n + 1 places) into `data` (bytes). Import only inside the function that needs it.

Loops without an exit and with unsigned places are those that a compiler makes wide.
"""

import numpy as np

from overround.measure.numba_compile import njit

STEP = 8  # bytes that are written at once
_1, _2, _3, _4, _5, _6, _7 = (np.uintp(k) for k in range(1, STEP))


@njit(cache=True)
def width(offsets):
    """How many bytes each text has, or -1 where they differ."""
    every, differ = offsets[1] - offsets[0], np.int64(0)
    for i in range(len(offsets) - 1):
        differ |= (offsets[np.uintp(i) + np.uintp(1)] - offsets[np.uintp(i)]) ^ every
    return -1 if differ else every


@njit(cache=True)
def repeats(data, every):
    """Whether all runs of `every` bytes are equal."""
    differ = np.uint8(0)
    for at in range(len(data) - every):
        differ |= data[np.uintp(at)] ^ data[np.uintp(at) + np.uintp(every)]
    return differ == 0


@njit(cache=True)
def rising(words):
    """Whether each row of eight-byte words, shape (n, k), is after the one before it in the order of the bytes."""
    found = np.empty(len(words) - 1, np.bool_)
    for i in range(len(found)):
        row, after = np.uintp(i), False
        for k in range(words.shape[1]):
            one, two = words[row, k], words[row + np.uintp(1), k]
            if one != two:
                after = _first_byte_first(two) > _first_byte_first(one)
                break
        found[row] = after
    return found


@njit(cache=True, inline="always")
def _first_byte_first(word):
    word = ((word & np.uint64(0x00FF00FF00FF00FF)) << np.uint64(8)) | (
        (word >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
    )
    word = ((word & np.uint64(0x0000FFFF0000FFFF)) << np.uint64(16)) | (
        (word >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)
    )
    return (word << np.uint64(32)) | (word >> np.uint64(32))


@njit(cache=True)
def spell(codes, lengths, letters):
    """Offsets and bytes of the texts that the codes stand for: `letters`, shape (words, a multiple of STEP), filled up with anything."""
    offsets = np.empty(len(codes) + 1, np.int64)
    end = 0
    for i in range(len(codes)):
        offsets[np.uintp(i)] = end
        end += lengths[np.uintp(codes[np.uintp(i)])]
    offsets[len(codes)] = end
    # each text is written with what fills it up, over which the next one goes
    data = np.empty(end + letters.shape[1], np.uint8)
    for i in range(len(codes)):
        to, code = np.uintp(offsets[np.uintp(i)]), np.uintp(codes[np.uintp(i)])
        for begin in range(0, lengths[code], STEP):
            k, at = np.uintp(begin), to + np.uintp(begin)
            # all eight are read before one is written: so they are moved at once
            a, b, c, d = letters[code, k], letters[code, k + _1], letters[code, k + _2], letters[code, k + _3]
            e, f, g, h = (
                letters[code, k + _4],
                letters[code, k + _5],
                letters[code, k + _6],
                letters[code, k + _7],
            )
            data[at], data[at + _1], data[at + _2], data[at + _3] = a, b, c, d
            data[at + _4], data[at + _5], data[at + _6], data[at + _7] = e, f, g, h
    return offsets, data[:end]
