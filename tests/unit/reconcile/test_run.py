"""What a run is worth as evidence."""

from __future__ import annotations

import msgspec
import pytest

from gateway.reconcile.bridge import Term
from gateway.reconcile.run import SourceUse, Verdict, verdict
from tests.unit.http.fake_reconciler import AT, finished


@pytest.mark.parametrize(
    ("unexplained", "unreadable", "records", "expected"),
    [
        pytest.param(0, 0, 3, Verdict.PASS, id="all of it was seen"),
        pytest.param(0, 1, 3, Verdict.INCONCLUSIVE, id="a row could not be read"),
        pytest.param(1, 1, 3, Verdict.FAIL, id="something is unexplained all the same"),
        pytest.param(0, 0, 0, Verdict.INCONCLUSIVE, id="nothing to compare"),
    ],
)
def test_a_part_that_could_not_be_read_never_passes(
    unexplained: int, unreadable: int, records: int, expected: Verdict
) -> None:
    """Too little evidence is never agreement."""
    report = finished().report
    assert report is not None
    report = msgspec.structs.replace(
        report,
        records={"authority": records, "mirror": records},
        terms={term: unexplained if term is Term.UNEXPLAINED else 0 for term in Term},
        unreadable={"authority": unreadable, "mirror": 0},
    )
    assert verdict(report) is expected


def test_a_run_is_as_old_as_its_oldest_source() -> None:
    """Readiness asks for fresh evidence, and an export of last week is none, whenever it was read."""
    old, new = SourceUse(name="weekly", made_at=AT - 7), SourceUse(name="live", made_at=AT + 1)
    assert finished().evidence_at == AT
    assert finished(sources={"authority": new}).evidence_at == AT
    assert finished(sources={"authority": old, "mirror": new}).evidence_at == AT - 7
