"""The term of a record that parts, as the journal has it: a table of standings."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.reconcile.bridge import Term
from gateway.reconcile.run import SourceUse
from gateway.reconcile.standing import MOST_TRIES, Standing, at_once, before_look, since_made

READ_AT = 1_000
QUEUED: dict[str, Any] = {"queued": "dlv_1", "queued_since": READ_AT - 1, "moving": True}


@pytest.mark.parametrize(
    ("standing", "term", "why"),
    [
        pytest.param({}, None, None, id="nothing known"),
        pytest.param(QUEUED, Term.QUEUED, "dlv_1", id="on its way"),
        pytest.param({**QUEUED, "queued_since": READ_AT}, Term.QUEUED, "dlv_1", id="accepted at that moment"),
        pytest.param({**QUEUED, "queued_since": READ_AT + 1}, None, None, id="accepted after both were read"),
        pytest.param({"parked": "dlv_2"}, Term.IN_CASE, "dlv_2", id="parked"),
        pytest.param({"case": "cas_1"}, Term.IN_CASE, "cas_1", id="a case"),
        pytest.param({"case": "cas_1", "parked": "dlv_2"}, Term.IN_CASE, "cas_1", id="a case leads further"),
        pytest.param({**QUEUED, "parked": "dlv_2"}, Term.QUEUED, "dlv_1", id="a newer write is on its way"),
        pytest.param({"moving": True}, None, None, id="only its authority is written to"),
        pytest.param({"quiet_since": READ_AT}, None, None, id="written just now"),
    ],
)
def test_what_the_journal_alone_decides(standing: dict[str, Any], term: Term | None, why: str | None) -> None:
    """A delivery that was there when the sides were read, or a person's matter, is the term; nothing else is."""
    found = at_once(Standing(**standing), read_at=READ_AT)
    assert (None if found is None else found.term, None if found is None else found.why) == (term, why)


@pytest.mark.parametrize(
    ("standing", "tries", "expected"),
    [
        pytest.param({}, 0, "look", id="never written"),
        pytest.param({"quiet_since": 900}, 0, "look", id="quiet for just the settle time"),
        pytest.param({"quiet_since": 901}, 0, "wait", id="not quiet for long enough"),
        pytest.param({"moving": True}, 0, "wait", id="moving"),
        pytest.param({"moving": True}, MOST_TRIES, Term.LATE, id="moving again and again"),
        pytest.param({"quiet_since": 999}, MOST_TRIES, Term.LATE, id="written again and again"),
        pytest.param({**QUEUED}, MOST_TRIES, Term.QUEUED, id="its queue does not end"),
        pytest.param({"quiet_since": 1}, MOST_TRIES, "look", id="quiet in the end"),
    ],
)
def test_a_record_is_read_again_only_when_it_is_quiet(
    standing: dict[str, Any], tries: int, expected: Any
) -> None:
    """A look between two equal fences needs quiet; what never gets quiet is late or queued, never unexplained."""
    found = before_look(Standing(**standing), now=1_000, settle=100, tries=tries)
    assert (found if isinstance(found, str) else found.term) == expected


@pytest.mark.parametrize(
    ("quiet_since", "made_at", "late"),
    [
        pytest.param(0, READ_AT, False, id="never written by us"),
        pytest.param(READ_AT, READ_AT, False, id="the export has it"),
        pytest.param(READ_AT + 1, READ_AT, True, id="the export cannot have it"),
        pytest.param(READ_AT + 1, None, False, id="not read yet"),
    ],
)
def test_what_is_newer_than_a_source_is_late(quiet_since: int, made_at: int | None, late: bool) -> None:
    """A write that a source cannot have is no mismatch; any other is judged."""
    use = SourceUse(name="nightly", made_at=made_at)
    found = since_made(Standing(quiet_since=quiet_since), [use])
    assert (found is not None and found.term is Term.LATE) is late
    assert since_made(Standing(quiet_since=quiet_since), []) is None
