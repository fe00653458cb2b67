"""Bars are shown in a kernel whose notebook is open, and nowhere else: in a real kernel, as its messages
tell.
"""

import os
import pty
import subprocess
import sys
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from overround.progress import followed, status_line

LOOP = """
import time
from overround.progress import followed
seen = [(item, time.sleep(0.3))[0] for item in followed(list("abcde"), "letters <b>")]
print("".join(seen))
"""


def messages(env: dict[str, str], code: str) -> list[dict[str, Any]]:
    """What a kernel with these variables shows while it runs the code."""
    manager, client = start_new_kernel(
        kernel_name="python3", env={**{k: v for k, v in os.environ.items() if k != "JPY_SESSION_NAME"}, **env}
    )
    found: list[dict[str, Any]] = []
    try:
        reply = client.execute_interactive(code, timeout=60, output_hook=found.append)
        assert reply["content"]["status"] == "ok", reply["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return found


@pytest.mark.slow
def test_where_a_notebook_is_open_a_bar_comes_moves_and_goes():
    found = messages({"JPY_SESSION_NAME": "notebooks/explore.ipynb"}, LOOP)

    bars = [
        one["content"]["data"]["text/html"]
        for one in found
        if one["msg_type"] in ("display_data", "update_display_data")
    ]
    assert [one["msg_type"] for one in found].count("display_data") == 1
    assert [one["content"]["text"] for one in found if one["msg_type"] == "stream"] == ["abcde\n"]
    assert "2 of 5 letters &lt;b&gt;" in bars[0]
    assert 'value="0.800"' in bars[-2]
    assert bars[-1] == ""


@pytest.mark.slow
@pytest.mark.parametrize("code", [LOOP, "__vsc_ipynb_file__ = ''" + LOOP.replace("0.3", "0.001")])
def test_where_none_is_or_the_call_is_short_nothing_is_shown(code):
    found = messages({}, code)

    assert [one["msg_type"] for one in found if "display" in one["msg_type"]] == []


@pytest.mark.slow
def test_vs_code_says_so_in_its_own_way():
    found = messages({}, "__vsc_ipynb_file__ = 'x.ipynb'" + LOOP)

    assert [one["msg_type"] for one in found].count("display_data") == 1


def test_outside_a_kernel_the_items_alone_come(capsys):
    assert list(followed(["a", "b"], "letters")) == ["a", "b"]
    assert capsys.readouterr() == ("", "")


LINE = """
import sys, time
from overround.progress import status_line
with status_line(live=lambda number: f"{number} of 2") as show:
    for number in (1, 2):
        show(number)
        time.sleep(1.2)
        print("done", number, file=sys.stderr)
print("the end")
"""


@pytest.mark.slow
def test_on_a_terminal_a_line_is_redrawn_below_what_is_printed_and_goes():
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen([sys.executable, "-c", LINE], stderr=theirs, stdout=theirs, env=env)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 1_000)
        except OSError:  # Linux's way to say that the other side is closed
            break
    os.close(ours)

    assert process.wait(timeout=60) == 0
    text = shown.decode()
    assert text.index("1 of 2") < text.index("done 1") < text.index("2 of 2") < text.index("done 2")
    assert "\x1b[2K" in text[text.rindex("2 of 2") :]
    assert text.rstrip().endswith("the end")


def test_in_a_pipe_a_line_is_printed_now_and_then_and_the_last_in_any_case(capsys):
    with status_line(every_s=60) as show:
        for number in range(5):
            show(f"{number} of 4")
    with status_line() as show:
        show("never")

    assert capsys.readouterr().err == "0 of 4\n4 of 4\n"
