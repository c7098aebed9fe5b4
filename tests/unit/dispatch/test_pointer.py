"""What a system refuses is shown to the caller in the caller's own body."""

from __future__ import annotations

import pytest

from gateway.dispatch.command import Kind
from gateway.dispatch.translate import pointer_of


@pytest.mark.parametrize(
    ("kind", "field", "pointer"),
    [
        pytest.param("create", "tax_id", "/tax_id", id="a field"),
        pytest.param("update", "lines.0.quantity", "/lines/0/quantity", id="a field of a line"),
        pytest.param("update", None, "", id="the system names no field"),
        pytest.param("transition", "state", "/to", id="the state of a transition"),
        pytest.param("transition", "reason", "/reason", id="another field of a transition"),
        pytest.param("create", "state", "/state", id="the state of anything else"),
    ],
)
def test_a_refusal_points_into_the_body(kind: Kind, field: str | None, pointer: str) -> None:
    """The pointer of a refused field is its place in the body that was sent, and a transition sends \"to\"."""
    assert pointer_of(kind, field) == pointer
