"""Merges from the command line, beside a gateway that serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.ledger.test_switch_commands import Captured, _key, _run, beside
from tests.integration.ledger.world import World, customer, fresh

__all__ = ["beside"]


async def test_two_people_merge_and_part(beside: World, tmp_path: Path, capsys: Captured) -> None:
    """One asks, another approves the hash; what does not hold is exit code 1 with the remedy, a wrong person or hash is
    2; the serving process sees the merge within seconds, and the way back is made in the same way."""
    world = beside
    loser = (await world.made("customers", customer(number=fresh())))["id"]
    winner = (await world.made("customers", customer(number=fresh())))["id"]
    await world.quiet()
    operator, approver = await _key(world, tmp_path, "operator"), await _key(world, tmp_path, "approver")
    ask = ("merge", "request", loser, "--into", winner, "--reason", "entered twice", "--key-file", operator)
    code, _ = await _run(capsys, *ask)
    assert code == 1  # both stand at the authority, and nobody has confirmed that
    code, asked = await _run(capsys, *ask, "--both-at-authority")
    assert (code, asked["state"], asked["requested_by"]) == (0, "requested", "operator")
    approve = ("merge", "approve", asked["id"], "--key-file", approver, "--evidence")
    code, _ = await _run(capsys, *approve, "0" * 64)
    assert code == 2
    code, done = await _run(capsys, *approve, asked["evidence_hash"])
    assert (code, done["state"], done["approved_by"]) == (0, "done", "approver")
    assert (await world.get(done["href"])).json() == done
    assert (await world.get(f"/v1/customers/{loser}")).status_code == 308
    code, listed = await _run(capsys, "merge", "--entity", "customer", "--state", "done")
    assert (code, [one["id"] for one in listed["items"]]) == (0, [done["id"]])
    code, one = await _run(capsys, "merge", "status", done["id"])
    assert one == done
    code, back = await _run(
        capsys, "merge", "split", done["id"], "--reason", "two after all", "--key-file", operator
    )
    assert (code, back["kind"]) == (0, "split")
    code, ended = await _run(capsys, "merge", "abort", back["id"], "--reason", "no", "--key-file", operator)
    assert (code, ended["state"]) == (0, "aborted")
    await world.check()


@pytest.mark.parametrize("words", [("status", "mrg_1"), ("abort", "mrg_1", "--reason", "x"), ("--state", "open")])
async def test_what_is_not_there(beside: World, capsys: Captured, words: tuple[str, ...]) -> None:
    """A merge that there is not, or a state that there is not, is bad input."""
    code, _ = await _run(capsys, "merge", *words)
    assert code == 2
