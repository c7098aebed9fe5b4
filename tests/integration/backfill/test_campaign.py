"""Nothing is overwritten and nothing doubled, with processes as they are in production."""

from __future__ import annotations

from pathlib import Path

from tests.integration.backfill.campaign import BY_HAND, KILLED_AT, campaign

TIME_ENTRIES, INVOICES = 250, 30


def test_a_mirror_is_filled_beside_live_writes_and_the_worker_is_killed_twice(tmp_path: Path) -> None:
    """By the effect logs of both ERPs every record of the old one is in the new one exactly once, what was there before
    was not written to, no value went back, and each record ends as the last live write said. The settings are as
    shipped but for the leases, which a killed worker's work waits for, and the wait before a comparison."""
    found = campaign(
        tmp_path,
        time_entries=TIME_ENTRIES,
        invoices=INVOICES,
        TWINRUN_LEASE_MARGIN_S="1",
        TWINRUN_QUARANTINE_MARGIN_S="1",
        TWINRUN_SYSTEMS__LEGACY__TIMEOUT_S="2",
        TWINRUN_SYSTEMS__CLOUD__TIMEOUT_S="2",
        # A comparison that a killed worker had in hand is taken up after two minutes: they begin after the kills.
        TWINRUN_SETTLE_S="18",
        TWINRUN_RECHECK_S="0.5",
        TWINRUN_CONFIRM_S="2",
    )
    assert (found.overwritten, found.duplicates, found.missing) == ([], [], [])
    assert len(found.kills) == len(KILLED_AT)
    assert all(0 < kill.read < kill.total for kill in found.kills)
    assert min(found.live_writes[what] for what in ("hours", "raised", "new")) > 0
    records = {entity: run["records"] for entity, run in found.runs.items()}
    assert sum(one["superseded"] + one["present"] for one in records.values()) > 0, "no live write raced"
    assert sum(one["linked"] for one in records.values()) == found.by_hand
    assert found.by_hand == TIME_ENTRIES // BY_HAND + 1
    assert found.holds, found.runs
