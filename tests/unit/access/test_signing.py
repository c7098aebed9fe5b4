"""Signed cursors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import Cursors
from gateway.errors import ForeignCursor

CURSORS = Cursors(b"s" * 32)


@given(context=st.text(max_size=40), inner=st.text(max_size=80))
def test_round_trip(context: str, inner: str) -> None:
    """What was signed for a context comes back in that context, unchanged."""
    assert CURSORS.open(context, CURSORS.sign(context, inner)) == inner


@given(inner=st.text(max_size=40), place=st.integers(min_value=0), other=st.sampled_from("ABab01-_=+/ ~é"))
def test_altered_cursor_is_foreign(inner: str, place: int, other: str) -> None:
    """A cursor of which one character was changed is refused."""
    cursor = CURSORS.sign("customers", inner)
    at = place % len(cursor)
    altered = cursor[:at] + other + cursor[at + 1 :]
    if altered == cursor:
        return
    with pytest.raises(ForeignCursor):
        CURSORS.open("customers", altered)


@pytest.mark.parametrize(
    "cursor",
    ["", "a", "abc", "not base64!", "ключ", "A" * 22, "\x00", "===", "A" * 4000],
    ids=["empty", "one", "three", "alphabet", "not ascii", "unsigned", "nul", "padding", "long"],
)
def test_garbage_is_foreign(cursor: str) -> None:
    """Whatever is not a cursor is told as one error, never as a crash."""
    with pytest.raises(ForeignCursor):
        CURSORS.open("customers", cursor)


def test_cursor_of_another_list_or_deployment_is_foreign() -> None:
    """A cursor is good only for the list and the deployment that issued it."""
    cursor = CURSORS.sign("customers", "x")
    with pytest.raises(ForeignCursor):
        CURSORS.open("projects", cursor)
    with pytest.raises(ForeignCursor):
        Cursors(b"t" * 32).open("customers", cursor)
