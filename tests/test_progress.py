"""Bars are shown in a kernel whose notebook is open, and nowhere else: in a real kernel, as its messages
tell.
"""

import os
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from overround.progress import followed

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
