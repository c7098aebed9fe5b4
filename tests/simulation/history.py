"""What one history leaves behind, from three observers: the callers, the systems, the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.canonical import BY_NAME
from gateway.ids import BACKFILL, MERGE
from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage
from tests.simulation.erp import Call, Effect, Product


class Said(msgspec.Struct, kw_only=True):
    """One thing that a caller did or was told. ``invoke`` begins a try; ``ok``, ``fail`` or ``info`` (not known)
    ends it."""

    place: int
    t: float
    kind: str  #: invoke, ok, fail, info
    request: int  #: one wish of a caller, whatever the number of tries
    attempt: int
    action: str  #: create, update, transition, read
    entity: str
    key: str | None = None
    record: str | None = None
    code: int | None = None
    problem: str | None = None
    operation: str | None = None
    version: int | None = None
    body: str | None = None
    #: effects in both systems together when this was said
    effects: int = 0


class Op(msgspec.Struct, kw_only=True):
    id: str
    record: str
    entity: str
    seq: int
    kind: str
    state: str
    epoch: int
    authority: str
    mirror: str | None
    marker: str
    change: dict[str, Any]
    request: str | None = None  #: "request.attempt" of the caller that it came from
    version: int | None = None
    client: str = ""

    @property
    def brought(self) -> bool:
        """A backfill's, or what a merge tells a mirror: its authority had it before, and nobody sends it there."""
        return self.client.startswith((BACKFILL, MERGE))


class Line(msgspec.Struct, kw_only=True):
    """One delivery."""

    id: str
    operation: str
    record: str
    entity: str
    system: str
    role: str
    seq: int
    epoch: int
    state: str
    attempt: int = 1
    maybe_sent: int = 0
    code: str | None = None
    source: str | None = None


class Kept(msgspec.Struct, kw_only=True):
    """One record of the journal."""

    id: str
    entity: str
    version: int
    seq: int
    open_writes: int
    image: dict[str, Any] | None = None
    merged_into: str | None = None


class Joined(msgspec.Struct, kw_only=True):
    """A merge that was done, or a split. ``links``: system -> native id, of what it has moved; ``turned``: the winner
    has taken the loser's place at the authority, or has given it back."""

    kind: str
    loser: str
    winner: str
    links: dict[str, str]
    turned: bool


class Try(msgspec.Struct, kw_only=True):
    """One attempt of a delivery."""

    delivery: str
    number: int
    outcome: str | None = None


class Backfill(msgspec.Struct, kw_only=True):
    """One backfill, with what became of each record."""

    id: str
    entity: str
    state: str
    source: str
    target: str
    epoch: int
    read: int
    unlinked: int | None
    items: dict[str, str] = {}
    begun: float | None = None  #: when the last look at its slice began with it; None: it is an earlier one


class Mismatch(msgspec.Struct, kw_only=True):
    """What comparing has found and told people of. ``open``: still, as the last comparison has it."""

    record: str
    fields: list[str]
    open: bool


class History(msgspec.Struct, kw_only=True):
    products: dict[str, Product]
    said: list[Said] = []
    effects: list[Effect] = []
    calls: list[Call] = []
    operations: dict[str, Op] = {}
    lines: list[Line] = []
    records: dict[str, Kept] = {}
    tries: list[Try] = []
    links: dict[tuple[str, str], str] = {}  #: (record, system) -> native id
    joined: list[Joined] = []  #: in order
    ordered: dict[str, int] = {}  #: delivery -> how often a person had it sent once more
    stranded: set[str] = set()  #: operations that an emergency has met under way
    numbers: dict[tuple[str, str], str] = {}  #: (entity, number) -> the record that it is reserved for
    lanes: dict[tuple[str, str], int] = {}  #: (record, system) -> applied seq
    holds: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}  #: system -> entity -> native id -> fields
    own_faults: list[str] = []  #: what the program itself logged as a fault of its own
    #: entity -> epoch, authority and mirror of its slice
    slices: dict[str, tuple[int, str, str | None]] = {}
    backfills: list[Backfill] = []  #: from the first to the last
    mismatches: list[Mismatch] = []
    broken_comparisons: list[str] = []  #: records
    closely: bool = False  #: everything was backfilled and compared at the end
    elapsed_s: float = 0.0

    def meant(self, record: str) -> str:
        """The record itself, or of a tombstone the one that it is taken for."""
        kept = self.records.get(record)
        return record if kept is None or kept.merged_into is None else kept.merged_into

    #: clients that may repeat without a key make requests of their own each time
    quiet: bool = True  #: the end was reached because nothing was open any more


def journal(rows: Callable[[str], list[dict[str, Any]]], history: History) -> None:
    """Reads the journal into ``history``, past everything that the gateway itself would say about it. ``rows`` gives
    what a statement selects."""
    decode = msgspec.json.decode
    history.operations = {
        row["id"]: Op(
            id=row["id"],
            record=row["record_id"],
            entity=row["entity"],
            seq=row["seq"],
            kind=row["kind"],
            state=row["state"],
            epoch=row["epoch"],
            authority=row["authority"],
            mirror=row["mirror"],
            marker=row["marker"],
            change=decode(row["change"]),
            request=decode(row["trace"]).get("X-Request-Id"),
            version=row["version"],
            client=row["client"],
        )
        for row in rows("SELECT * FROM operation ORDER BY created_at, id")
    }
    history.lines = [
        Line(
            id=row["id"],
            operation=row["operation_id"],
            record=row["record_id"],
            entity=row["entity"],
            system=row["system"],
            role=row["role"],
            seq=row["seq"],
            epoch=row["epoch"],
            state=row["state"],
            attempt=row["attempt"],
            maybe_sent=row["maybe_sent"],
            code=row["code"],
            source=row["source"],
        )
        for row in rows("SELECT * FROM delivery ORDER BY record_id, system, seq")
    ]
    history.records = {
        row["id"]: Kept(
            id=row["id"],
            entity=row["entity"],
            version=row["version"],
            seq=row["seq"],
            open_writes=row["open_writes"],
            image=None if row["image"] is None else decode(row["image"]),
            merged_into=row["merged_into"],
        )
        for row in rows("SELECT * FROM record ORDER BY id")
    }
    history.tries = [
        Try(delivery=row["delivery_id"], number=row["number"], outcome=row["outcome"])
        for row in rows("SELECT * FROM attempt ORDER BY delivery_id, number")
    ]
    history.links = {
        (row["record_id"], row["system"]): row["native_id"] for row in rows("SELECT * FROM crosswalk")
    }
    merges = {row["id"]: row for row in rows("SELECT * FROM record_merge WHERE state = 'done' ORDER BY ended_at, id")}
    history.joined = [
        Joined(kind=row["kind"], loser=row["loser"], winner=row["winner"], links=moved["links"], turned=moved["turned"])
        for row in merges.values()
        for moved in [decode(merges[row["undoes"] or row["id"]]["moved"])]
    ]
    history.ordered = Counter(
        row["delivery_id"]
        for row in rows("SELECT * FROM operation_event WHERE event IN ('replayed', 'sent_again')")
    )
    history.stranded = {
        row["operation_id"] for row in rows("SELECT operation_id FROM operation_event WHERE event = 'stranded'")
    }
    history.numbers = {
        (row["entity"], row["value"]): row["record_id"] for row in rows("SELECT * FROM natural_key")
    }
    history.lanes = {
        (row["record_id"], row["system"]): row["applied_seq"] for row in rows("SELECT * FROM lane")
    }


def evidence(rows: Callable[[str], list[dict[str, Any]]], history: History) -> None:
    """Reads what backfills and comparisons say into ``history``."""
    decode = msgspec.json.decode
    for row in rows("SELECT * FROM slice"):
        plan = PLANS[Stage(row["stage"])]
        mirror = None if plan.mirror is None else plan.mirror.value
        history.slices[row["entity"]] = row["epoch"], plan.authority.value, mirror
    items: dict[str, dict[str, str]] = {}
    for row in rows("SELECT * FROM backfill_item"):
        items.setdefault(row["run_id"], {})[row["record_id"]] = row["outcome"]
    history.backfills = [
        Backfill(
            **{name: row[name] for name in Backfill.__struct_fields__ if name not in ("items", "begun")},
            items=items.get(row["id"], {}),
        )
        for row in rows("SELECT * FROM backfill_run ORDER BY created_at, id")
    ]
    history.mismatches = [
        Mismatch(
            record=row["record_id"],
            fields=[one["path"] for one in decode(row["differences"])],
            open=row["resolved_at"] is None,
        )
        for row in rows("SELECT * FROM diff WHERE verdict = 'mismatch' ORDER BY id")
    ]
    history.broken_comparisons = [
        row["record_id"] for row in rows("SELECT record_id FROM diff WHERE why = 'comparison_failed'")
    ]


_ENDED = ("settled", "rejected", "cancelled", "attention", "unresolved")
_OPEN = ("ready", "blocked", "sending", "unknown")


def open_operations(history: History) -> list[Op]:
    """Operations that are neither over nor in a person's hands, nor wait behind something that is: in the same lane,
    at the authority, or for a record that they refer to and that a system does not hold."""
    waits = waiting_for_a_person(history)
    lines: dict[str, list[Line]] = {}
    for line in history.lines:
        lines.setdefault(line.operation, []).append(line)
    found: list[Op] = []
    for op in history.operations.values():
        if op.state in _ENDED:
            continue
        mine = [line for line in lines.get(op.id, ()) if line.state in _OPEN]
        if not any(line.id in waits for line in mine):
            found.append(op)
    return found


def waiting_for_a_person(history: History) -> set[str]:
    """Deliveries that only a person's act can get going."""
    lanes: dict[tuple[str, str], list[Line]] = {}
    authority: dict[str, Line] = {}
    for line in history.lines:
        lanes.setdefault((line.record, line.system), []).append(line)
        if line.role == "authority":
            authority[line.operation] = line
    owner = {
        op.record: op.change["customer_id"]
        for op in history.operations.values()
        if (op.kind == "create" or op.brought) and "customer_id" in op.change
    }
    waits = {line.id for line in history.lines if line.state == "parked"}
    changed = True
    while changed:
        changed = False
        for line in history.lines:
            if line.id in waits or line.state not in ("ready", "blocked"):
                continue
            lane = lanes[line.record, line.system]
            latest = line.role == "mirror" and BY_NAME[line.entity].lane_mode == "latest"
            behind = any(
                # What may have been sent already is not overtaken, not even where only the newest counts.
                one.seq < line.seq and one.id in waits and (not latest or one.maybe_sent > 0)
                for one in lane
            )
            at_authority = (
                line.role == "mirror"
                and line.state == "blocked"
                and line.operation in authority
                and authority[line.operation].id in waits
            )
            needed = owner.get(line.record)
            missing = (
                needed is not None
                and line.state == "ready"
                and (history.meant(needed), line.system) not in history.links
                and not any(
                    one.state in _OPEN and one.id not in waits
                    for system in ("legacy", "cloud")
                    for one in lanes.get((needed, system), ())
                )
            )
            if behind or at_authority or missing:
                waits.add(line.id)
                changed = True
    return waits
