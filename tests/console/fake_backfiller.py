"""Backfills in memory: one under way, one that is done and not complete, one that failed, and what a test begins."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.backfill.run import Item, Outcome, Run, State
from tests.unit.http.fake_backfiller import FakeBackfiller, backfill

HOSTILE = "<img src=x onerror=alert(1)>"
#: The records that the run that is done has created; a page has fifty of them at once.
CREATED = 60
MINUTE = 60_000_000


def id_of(number: int) -> str:
    return backfill(number, entity="", region="", actor="", reason=None).id


class FakeBackfills(FakeBackfiller):
    """What is begun stays as it is until a test, or a click, changes it."""

    def __init__(self) -> None:
        super().__init__()
        self._put(1, "invoice", reason="go live", **_done())
        self._put(2, "project", state=State.FAILED, note="the slice has moved to live since this began")
        self._put(3, "expense", reason=HOSTILE, phase="bring", total=1200, read=425, created=400, linked=25)
        self.items[id_of(1)] = [
            *(
                Item(
                    record_id=f"inv_{number:02}",
                    outcome=Outcome.CREATED,
                    delivery_id=f"dlv_{number:02}",
                    delivery_state="rejected" if number == 7 else "applied",
                    why="the tax code is not known there" if number == 7 else None,
                )
                for number in range(CREATED)
            ),
            Item(
                record_id="inv_90",
                outcome=Outcome.AMBIGUOUS,
                why=f"cloud holds several with number {HOSTILE}: 4711, 4712",
                delivery_id="dlv_90",
                delivery_state="parked",
                case_id="cas_01930001",
            ),
            Item(
                record_id="inv_91",
                outcome=Outcome.BLOCKED,
                why="/customer_id: cus_1 is not in cloud; backfill customer first",
            ),
        ]

    def _put(self, number: int, entity: str, *, reason: str | None = None, **fields: Any) -> None:
        run = backfill(number, entity=entity, region="EMEA", actor="Ada Migration", reason=reason)
        self.runs[run.id] = msgspec.structs.replace(run, **fields)

    def change(self, run: Run, **fields: Any) -> None:
        """The run goes on."""
        self.runs[run.id] = msgspec.structs.replace(run, **fields)


def _done() -> dict[str, Any]:
    ended = backfill(1, entity="", region="", actor="", reason=None).created_at + 3 * MINUTE
    return {
        "state": State.DONE, "phase": "verify", "total": CREATED + 42, "read": CREATED + 42, "created": CREATED,
        "linked": 30, "present": 10, "ambiguous": 1, "blocked": 1, "failed": 1, "differs": 2, "unlinked": 3,
        "updated_at": ended, "ended_at": ended,
    }  # fmt: skip
