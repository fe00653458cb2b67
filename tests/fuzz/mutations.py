"""Changes to answers: of bytes, of the cells of a CSV file, of the parts of a JSON document. Every one is
drawn from a `random.Random`.
"""

import copy
import json
from contextlib import suppress
from random import Random
from typing import Any

# what has broken parsers of odds before, or could
CELLS = (
    "",
    " ",
    "0",
    "-0",
    "-1",
    "1",
    "1.0",
    "1.0000001",
    "1e308",
    "1e400",
    "-1e400",
    "9" * 25,
    "9" * 400,
    "nan",
    "NaN",
    "inf",
    "-inf",
    "None",
    "null",
    "True",
    "#REF!",
    "#",
    "-",
    "--",
    "1,5",
    "1/2",
    "5-2",
    "0x10",
    "1_000",
    "١٢",
    "²",
    "½",
    "１２",
    "\ufeff",
    "\u200b",
    "\x00",
    "\x1a",
    "é",
    "\U0001f600",
    "'",
    '"',
    '""',
    '"a',
    'a"b',
    "=1+1",
    "@SUM(A1)",
    "../../etc/passwd",
    "C:\\x",
    "/",
    "\\",
    "%2e%2e%2f",
    "a=b",
    "a" * 3000,
    "<script>alert(1)</script>",
    "{{7*7}}",
    "${x}",
    "31/02/2024",
    "00/00/00",
    "01/01/0001",
    "31/12/9999",
    "29/02/2023",
    "1/1/24",
    "16-08-2024",
    "2024-08-16",
    "25:00",
    "24:00",
    "00:00",
    "12:60",
    "1:5",
    "01:30",
    "H",
    "D",
    "A",
    "h",
    "E0",
    "ARG",
    "Argentina",
)
HEADERS = (
    "Div",
    "Date",
    "Time",
    "HomeTeam",
    "AwayTeam",
    "HT",
    "AT",
    "Home",
    "Away",
    "FTHG",
    "FTAG",
    "FTR",
    "HG",
    "AG",
    "Res",
    "Country",
    "Season",
    "League",
    "B365H",
    "B365D",
    "B365A",
    "PSH",
    "PSCH",
    "PH",
    "B365>2.5",
    "B365<2.5",
    "AHh",
    "AHCh",
    "BbAHh",
    "B365AH",
    "B365AHH",
    "B365AHA",
    "MaxCH",
    "AvgD",
    "VCH",
    "BVH",
    "BFDD",
    "Bb1X2",
    "Unknown",
    "",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -0.0,
    1,
    -1,
    1.0,
    1.01,
    100,
    -100,
    99,
    -99,
    2**31,
    2**63,
    -(2**63) - 1,
    10**400,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    float("-inf"),
    1e-320,
    "",
    " ",
    "0",
    "1",
    "nan",
    "Draw",
    "Over",
    "Under",
    "h2h",
    "totals",
    "spreads",
    "h2h_lay",
    "outrights",
    "../../x",
    "/etc/passwd",
    "a/b",
    "a=b",
    "\x00",
    "\ud800",
    "\udfff\ud800",
    "é",
    "\U0001f600",
    "x" * 3000,
    "<script>alert(1)</script>",
    "{{7*7}}",
    "=1+1",
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"id": 1},
    "2024-08-16T19:00:00Z",
    "2024-08-16",
    "2024-08-16T19:00:00",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2024-02-30T00:00:00Z",
    "2024-W33-5",
    "20240816T190000Z",
    "2024-08-16T19:00:00+24:00",
    "10000-01-01T00:00:00Z",
    1723834800,
    1723834800.5,
    1e18,
    -1,
)


def of_bytes(random: Random, content: bytes) -> bytes:
    """Flip, cut, repeat, insert."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 5))):
        at = random.randrange(len(data) + 1)
        to = min(len(data), at + random.choice((1, 2, 8, 64)))
        kind = random.randrange(6)
        if kind == 0 and at < len(data):
            data[at] = random.randrange(256)
        elif kind == 1:
            del data[at:to]
        elif kind == 2:
            data[at:at] = data[at:to] * random.choice((1, 2, 50))
        elif kind == 3:
            data[at:at] = random.choice(
                (
                    b"\x00",
                    b"\xff\xfe",
                    b"\xef\xbb\xbf",
                    b"\r",
                    b"\n",
                    b'"',
                    b",",
                    b"\x92",
                    b"\xa0",
                    b"{",
                    b"]",
                    b"<html>",
                )
            )
        elif kind == 4:
            del data[at:]
        else:
            data[at:to] = bytes(random.randrange(256) for _ in range(to - at))
    return bytes(data)


def of_line(random: Random, line: str) -> str:
    """Change the cells of one line of a CSV file."""
    cells = line.split(",")
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        at = random.randrange(len(cells)) if cells else 0
        kind = random.randrange(8)
        if kind < 5 and cells:
            cells[at] = random.choice(CELLS) if kind < 4 else cells[at] + random.choice(CELLS)
        elif kind == 5 and cells:
            del cells[at]
        elif kind == 6:
            cells.insert(at, random.choice(CELLS))
        elif cells:
            cells[at] = cells[random.randrange(len(cells))]
    return ",".join(cells).replace("\n", " ").replace("\r", " ")


def of_header(random: Random, header: str) -> str:
    """Rename, double, drop, move columns."""
    names = header.split(",")
    for _ in range(random.choice((1, 1, 2, 6))):
        at = random.randrange(len(names)) if names else 0
        kind = random.randrange(5)
        if kind < 2 and names:
            names[at] = random.choice(HEADERS if kind == 0 else CELLS)
        elif kind == 2 and names:
            del names[at]
        elif kind == 3:
            names.insert(at, random.choice(HEADERS))
        elif names:
            names[at] = names[random.randrange(len(names))]
    return ",".join(names)


def of_document(random: Random, tree: Any) -> bytes:
    """Change parts of a JSON document, given as parsed; it is changed in place, so hand over a copy."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        places = list(_places(tree))
        if not places:
            break
        parent, key = random.choice(places)
        kind = random.randrange(9)
        if kind < 5:
            parent[key] = copy.deepcopy(random.choice(VALUES))
        elif kind == 5:
            del parent[key]
        elif kind == 6:
            other, place = random.choice(places)
            with suppress(LookupError):  # it may be gone by now
                parent[key] = copy.deepcopy(other[place])
        elif kind == 7 and isinstance(parent, list):
            parent.insert(key, parent[key])
        else:
            parent[key] = [parent[key]] if random.random() < 0.5 else {"id": parent[key]}
    text = json.dumps(tree)
    if random.random() < 0.02:
        # as deep as a reader of JSON goes, and deeper
        depth, parts = random.choice((50, 300, 800, 950, 5000)), text.split('": ')
        at = random.randrange(len(parts))
        if at:
            parts[at] = f'{"[" * depth}{"]" * depth}, "more": {parts[at]}'
        text = '": '.join(parts)
    return text.encode("utf-8", "surrogatepass")


def _places(tree: Any) -> Any:
    stack = [tree]
    while stack:
        node = stack.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in list(items):
            yield node, key
            if isinstance(value, dict | list):
                stack.append(value)
