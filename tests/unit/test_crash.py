"""Crash points: inert where nobody armed them, deadly where somebody did, and each in its one place."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys

import pytest

from gateway import crash
from tests.house.tree import program

#: Passes a point twenty times and says how far it came.
PASSES = """\
from gateway.crash import crash_point
for n in range(20):
    print(n, flush=True)
    crash_point("CP05")
"""


def _passes(order: str | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PASSES],
        env={} if order is None else {crash.VARIABLE: order},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_without_an_order_a_point_is_an_empty_call() -> None:
    """A process that is not armed has nothing bound that could kill it."""
    assert crash.crash_point is crash._inert
    done = _passes(None)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [str(n) for n in range(20)], "")


@pytest.mark.parametrize(
    ("order", "last"),
    [
        pytest.param("CP05", 0, id="the first passage"),
        pytest.param("CP05:17", 16, id="a later passage"),
        pytest.param("CP13,CP05:2", 1, id="whichever comes first"),
    ],
)
def test_an_armed_point_kills_in_its_passage(order: str, last: int) -> None:
    """The process is gone by SIGKILL at the very passage, and names the point on standard error."""
    done = _passes(order)
    assert done.returncode == -signal.SIGKILL
    assert int(done.stdout.split()[-1]) == last
    assert done.stderr == f"crash point CP05: {crash.POINTS['CP05']}\n"


def test_other_points_pass() -> None:
    """Only the point that is named kills."""
    assert _passes("CP06").returncode == 0


def _deaths(order: str, passages: int) -> list[int]:
    """The passages at which a process would have died, were it not for the test."""
    died: list[str] = []
    point = crash.Armed(order, die=died.append)
    found: list[int] = []
    for number in range(1, passages + 1):
        before = len(died)
        point("CP05")
        if len(died) > before:
            found.append(number)
    return found


def test_chance_is_seeded() -> None:
    """The same order dies at the same passages, another seed at others, and about as often as it says."""
    assert _deaths("CP05%5", 4000) == _deaths("CP05%5", 4000) != _deaths("CP05%5/42", 4000)
    for order in ("CP05%5", "CP05%5/42", "CP05%5/43"):
        assert 140 <= len(_deaths(order, 4000)) <= 260


def test_a_late_death_comes_after_its_passage() -> None:
    """With a delay the process goes on until it is over."""
    code = (
        "import time\nfrom gateway.crash import crash_point\ncrash_point('CP03')\nprint('on', flush=True)\n"
        "time.sleep(30)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={crash.VARIABLE: "CP03+300"},
        capture_output=True,
        text=True,
        check=False,
        timeout=25,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "on\n")


@pytest.mark.parametrize("order", ["CP99", "cp05", "CP05:", "CP05%", "CP05;CP06", "5"])
def test_an_order_that_cannot_be_read_stops_the_start(order: str) -> None:
    """A point that does not exist would never be reached, and the test that armed it would prove nothing."""
    with pytest.raises(ValueError, match="allowed is CP05"):
        crash.Armed(order, die=lambda name: None)


def test_every_point_has_its_place() -> None:
    """Each point of the table is called in one place of the program, and no call names another."""
    by_role = {"LEAVES": crash.LEAVES, "ANSWERED": crash.ANSWERED, "CONCLUDED": crash.CONCLUDED}
    called: list[str] = []
    for path in program("gateway"):
        if path.name == "crash.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "crash_point"
            ):
                named = node.args[0]
                if isinstance(named, ast.Constant):
                    called.append(str(named.value))
                else:
                    assert isinstance(named, ast.Subscript)
                    assert isinstance(named.value, ast.Name)
                    called.extend(by_role[named.value.id].values())
    assert sorted(called) == sorted(crash.POINTS)
