"""Whether what a system shows is the effect of a write whose answer nobody has heard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.build import open_adapter
from adapters.contract import Adapter, Found
from adapters.profile import load
from gateway.dispatch.claim import MICROS, Claim
from gateway.dispatch.effect import Open, early_s, is_ours

PROFILE = Path(__file__).parents[3] / "adapters" / "profiles" / "sandbox_cloud.toml"
LAG_S = 3.0
NOW = 100 * MICROS


@pytest.fixture
async def lagging(tmp_path: Path) -> AsyncIterator[Adapter]:
    """A product whose reads may be three seconds behind. Nothing is sent to it."""
    text = PROFILE.read_text(encoding="utf-8")
    file = tmp_path / "lagging.toml"
    wanted = 'max_processing_s = 2\nfilters = ["number", "legal_entity", "state", "email"'
    assert wanted in text
    file.write_text(text.replace(wanted, f"read_lag_s = {LAG_S}\n{wanted}"), encoding="utf-8")
    adapter = open_adapter("cloud", load(str(file)), "http://127.0.0.1:9", {"kind": "none"}, {})
    yield adapter
    await adapter.close()


def looked_for(*, before: str, last_at: int = 0) -> Open:
    """A transition to *active* that was sent, and what the system had from us before it."""
    return Open(
        claim=Claim(
            delivery_id="dlv_1", attempt=1, maybe_sent=1, operation_id="op_1", record_id="cus_1", entity="customer",
            region="UK", legal_entity="UK01", system="cloud", role="mirror", seq=3, kind="transition", marker="TTHREE",
            accepted_at=0, image={"name": "Harbour", "state": "active"}, change={"state": "active"}, native_id="C1",
            native_version=None, lease_until=NOW, storable=True, trace={},
        ),
        before={"name": "Harbour", "state": before}, last_at=last_at, probes=0, lease_expiries=0, quarantine_until=0,
        since=0, now=NOW,
    )  # fmt: skip


def shown(state: str, marker: str) -> Found:
    return Found(native_id="C1", marker=marker, fields={"name": "Harbour", "state": state})


async def test_the_marker_proves_it(lagging: Adapter) -> None:
    """It is the write's own, whatever the record was before, and however young the write before it is."""
    one = looked_for(before="active", last_at=NOW)
    found = shown("active", "TTHREE")
    assert is_ours(lagging, one, found)
    assert early_s(lagging, one, found) == 0.0


async def test_a_state_that_was_there_before_proves_nothing(lagging: Adapter) -> None:
    """A mirror that never had the state in between is not changed by the write, so its state does not tell whether the
    request is still on its way."""
    assert is_ours(lagging, looked_for(before="blocked"), shown("active", "TTWO"))
    assert not is_ours(lagging, looked_for(before="active"), shown("active", "TTWO"))


@pytest.mark.parametrize(("ago_s", "left_s"), [(0.0, 3.0), (1.0, 2.0), (3.0, 0.0), (60.0, -57.0)])
async def test_a_state_is_believed_once_it_cannot_be_older(lagging: Adapter, ago_s: float, left_s: float) -> None:
    """A read may be of the moment before the write before this one, where the state was as this one wants it. It counts
    when the system's declared lag has passed since that write was known to be there."""
    one = looked_for(before="blocked", last_at=NOW - int(ago_s * MICROS))
    assert early_s(lagging, one, shown("active", "TONE")) == pytest.approx(left_s)
