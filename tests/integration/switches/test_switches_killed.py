"""A move of authority survives the death of whoever carries it, at every step, with processes as in production."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.integration.switches.campaign import POINTS, campaign, table
from tests.systems.databases import NoServer
from tests.systems.plugin import leave_out

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(900)]

SWITCHES = 10


def test_moves_survive_a_death_at_each_of_their_steps(tmp_path: Path) -> None:
    """There and back under traffic, with a death before the fence, behind it, in the drain, before the commit and after
    it: every switch comes to its end by itself, nothing is lost or doubled, each epoch has one authority, and what the
    callers were told is true."""
    try:
        found = campaign(tmp_path, switches=SWITCHES)
    except NoServer as cause:
        leave_out("PostgreSQL", cause)
    told = table(found)
    assert not found.breaches, told
    assert not found.unexpected, told
    assert len(found.moves) == SWITCHES, told
    assert Counter(one.point for one in found.moves) == dict.fromkeys(POINTS, SWITCHES // len(POINTS)), told
    assert Counter(one.kind for one in found.moves) == {"switch": SWITCHES // 2, "rollback": SWITCHES // 2}, told
    assert found.held > 0, f"nothing was written behind a fence: the campaign proved nothing\n{told}"
    assert found.epochs > SWITCHES, f"hardly anything was written between two switches\n{told}"
