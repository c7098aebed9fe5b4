"""Laws of the journal as queries: what must never be so, looked for while the program is in service.

Each law is one statement, so that it sees one moment; it names records whose rows break it, and finds nothing in a
journal that is in order, whatever is under way. The statements are texts that read the same on both databases; they
name tables of rooms that this one must not import.

Cost. Nothing here reads a whole table, however long the journal is. A law looks at *open rows*, through the index on
a delivery's or an operation's state, which are as many as the backlog; or at what was *touched*: the events of a range
of positions, and the records of a range of ids, each by its primary key, and from there by key to the rows around
them. Who asks again and again gives the range since the last time but one, because on PostgreSQL a transaction may
commit a lower position than one that is there already. The range of ids walks through the journal bit by bit, so that
damage to what nobody touches is found as well, only later.

Where a row is reached by its key, its state is spelled ``state || ''``, which no index answers. Left to choose, a
server whose statistics are from a moment when hardly anything was applied goes through everything that is applied, once
for each row it is asked about (measured on a journal of 10,000 writes: every look was cancelled after 15 s, and took a
whole core until then). Who asks again and again has what has grown counted first (``TABLES``): a server that has never
counted the crosswalk looks for a record's links among all that there are in its system, once for each record (measured
in the second minute of a journal at 600 writes a second: a look cancelled after 15 s, and writes three quarters as
fast until then; the counting takes a tenth of a second).

Nothing is repaired here, and a broken law takes no process out of service: it is about single records, a person has to
look at them, and every other write goes on as well as before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from sqlalchemy import Connection, TextClause, select, text

from gateway.canonical import BY_NAME
from gateway.ledger.states import DELIVERY_OPEN, OPERATION_ENDS, OperationState
from gateway.ledger.tables import event, late_outcome, record

#: At most this many records are named for one law.
NAMED = 1000
#: At most this many events are gone through at once, the newest ones. (Measured: 25 us of the server's time an event,
#: so a look takes a second and a quarter of each minute at most; at 700 writes a second, with 200,000, it was a sixth
#: of all that the server did.) In a journal with more to show the walk over its records finds the others.
EVENTS = 50_000
#: Records that one look goes through beside what was touched.
SWEPT = 2_000
#: Answers that came too late, the newest ones, that one look goes through.
LATE = 10_000
#: An operation that rests for this long without a delivery to be done or a case is nobody's any more.
RESTS_S = 3600
#: What the laws go through that may be large.
TABLES = (
    "attempt",
    "case_",
    "crosswalk",
    "delivery",
    "lane",
    "late_outcome",
    "operation",
    "operation_event",
    "record",
)
#: Sorts behind every record id, by any collation.
LAST = "zzzz"


class Invariant(msgspec.Struct, frozen=True, kw_only=True):
    """One law. ``query`` selects the records that break it; ``tables`` are common tables of its own. Either may name
    ``_TABLES`` and ``_SETS``."""

    name: str
    law: str
    query: str
    tables: str = ""


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """What a look goes through beside open rows: events with positions above ``after`` and up to ``upto``, records
    with ids above ``swept`` and up to ``until``, late answers with positions above ``late``."""

    after: int
    upto: int
    swept: str = ""
    until: str = ""
    late: int = 0


def extent(
    connection: Connection, *, after: int = 0, swept: str = "", records: int = 0, events: int = EVENTS
) -> Extent:
    """The newest events above ``after``, ``events`` at most, and the next ``records`` records above ``swept``."""
    newest = connection.execute(select(event.c.position).order_by(event.c.position.desc()).limit(1)).scalar()
    late = connection.execute(
        select(late_outcome.c.position).order_by(late_outcome.c.position.desc()).limit(1)
    ).scalar()
    until: str | None = swept
    if records:
        until = connection.execute(
            select(record.c.id).where(record.c.id > swept).order_by(record.c.id).offset(records - 1).limit(1)
        ).scalar()
    upto = newest or 0
    return Extent(
        after=max(after, upto - events),
        upto=upto,
        swept=swept,
        until=LAST if until is None else until,
        late=(late or 0) - LATE,
    )


def broken(connection: Connection, seen: Extent, *, now: int) -> dict[str, tuple[str, ...]]:
    """By law, the records that break it now; a law that holds has none. ``now`` is microseconds UTC."""
    found: dict[str, tuple[str, ...]] = {}
    for one in INVARIANTS:
        rows = connection.execute(STATEMENTS[one.name], parameters(one, seen, now=now))
        found[one.name] = tuple(rows.scalars())
    return found


def parameters(one: Invariant, seen: Extent, *, now: int) -> dict[str, int | str]:
    """What the statement of a law is told."""
    values: dict[str, int | str] = {**msgspec.structs.asdict(seen), "rested": now - RESTS_S * 1_000_000}
    return {name: value for name, value in values.items() if f":{name}" in _whole(one)}


_EVENTS = """
    SELECT record_id, operation_id, delivery_id, position, event FROM operation_event
    WHERE position > :after AND position <= :upto
    UNION ALL
    SELECT past.record_id, past.operation_id, past.delivery_id, past.position, past.event
    FROM record r JOIN operation_event past ON past.record_id = r.id
    WHERE r.id > :swept AND r.id <= :until"""

#: What a query may name as ``$name``. The first four are common tables, in the order in which they build on each other.
_TABLES: Mapping[str, str] = {
    "touched": _EVENTS,
    "records": "SELECT DISTINCT record_id FROM touched",
    "operations": "SELECT DISTINCT operation_id FROM touched",
    "deliveries": "SELECT DISTINCT delivery_id FROM touched WHERE delivery_id IS NOT NULL",
}


def _among(values: Iterable[str]) -> str:
    return "(" + ", ".join(sorted(f"'{value}'" for value in values)) + ")"


_SETS: Mapping[str, str] = {
    "$in_flight": "('sending', 'unknown')",
    "$applied_events": "('authority_applied', 'mirror_applied')",
    "$open": _among({state.value for state in DELIVERY_OPEN}),
    "$unended": _among({state.value for state in OperationState if state not in OPERATION_ENDS}),
    # An operation in one of these has never had, and will never have, an effect under its epoch.
    "$without_effect": "('held', 'cancelled', 'rejected')",
    "$latest": _among({name for name, entity in BY_NAME.items() if entity.lane_mode == "latest"}),
}

INVARIANTS: tuple[Invariant, ...] = (
    Invariant(
        name="one_in_flight",
        law="A lane has at most one delivery that is being sent or of unknown outcome.",
        query="""
            SELECT record_id FROM delivery WHERE state IN $in_flight
            GROUP BY record_id, system HAVING count(*) > 1""",
    ),
    Invariant(
        name="lane_holder",
        law="A lane is held by the delivery that is in flight there, or that the authority left unresolved, and by"
        " no other.",
        query="""
            SELECT d.record_id FROM delivery d
            LEFT JOIN lane l ON l.record_id = d.record_id AND l.system = d.system
            WHERE d.state IN $in_flight AND (l.inflight IS NULL OR l.inflight <> d.id)
            UNION
            SELECT l.record_id FROM $records t JOIN lane l ON l.record_id = t.record_id
            LEFT JOIN delivery d ON d.id = l.inflight
            WHERE l.inflight IS NOT NULL AND (
                d.id IS NULL OR d.record_id <> l.record_id OR d.system <> l.system
                OR NOT (d.state IN $in_flight OR (d.state = 'parked' AND d.role = 'authority')))""",
    ),
    Invariant(
        name="lane_order",
        law="The writes of a lane are applied in rising order.",
        tables="""
            done AS (
                SELECT e.record_id, e.position, d.system, d.seq,
                    max(d.seq) OVER (PARTITION BY e.record_id, d.system ORDER BY e.position
                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS highest,
                    row_number() OVER (PARTITION BY e.record_id, d.system ORDER BY e.position) AS place
                FROM $touched e JOIN delivery d ON d.id = e.delivery_id
                WHERE e.event IN $applied_events AND d.state || '' = 'applied')""",
        query="""
            SELECT record_id FROM done WHERE highest > seq
            UNION
            SELECT f.record_id FROM done f
            JOIN delivery n ON n.record_id = f.record_id AND n.system = f.system AND n.seq > f.seq
                AND n.state || '' = 'applied'
            WHERE f.place = 1 AND NOT EXISTS (
                SELECT 1 FROM operation_event l
                WHERE l.operation_id = n.operation_id AND l.delivery_id = n.id AND l.position > f.position
                    AND l.event IN $applied_events)""",
    ),
    Invariant(
        name="applied_seq",
        law="A lane remembers the highest write that was applied in it.",
        query="""
            SELECT l.record_id FROM $records t JOIN lane l ON l.record_id = t.record_id
            WHERE EXISTS (
                SELECT 1 FROM delivery d
                WHERE d.record_id = l.record_id AND d.system = l.system AND d.seq > l.applied_seq
                    AND d.state || '' = 'applied')""",
    ),
    Invariant(
        name="mirror_first",
        law="No mirror is sent a write that its authority has not applied.",
        query="""
            SELECT m.record_id FROM delivery m
            LEFT JOIN delivery a ON a.operation_id = m.operation_id AND a.role = 'authority'
            WHERE m.state IN $in_flight AND m.role = 'mirror' AND (a.state IS NULL OR a.state <> 'applied')
            UNION
            SELECT m.record_id FROM $operations t JOIN delivery m ON m.operation_id = t.operation_id
            LEFT JOIN delivery a ON a.operation_id = m.operation_id AND a.role = 'authority'
            WHERE m.state || '' = 'applied' AND m.role = 'mirror' AND (a.state IS NULL OR a.state <> 'applied')""",
    ),
    Invariant(
        name="blocked_mirror",
        law="No mirror waits for an authority that has applied, refused or skipped the write.",
        query="""
            SELECT m.record_id FROM delivery m
            JOIN delivery a ON a.operation_id = m.operation_id AND a.role = 'authority'
            WHERE m.state = 'blocked' AND m.role = 'mirror'
                AND a.state || '' IN ('applied', 'rejected', 'skipped')""",
    ),
    Invariant(
        name="epochs",
        law="Each epoch of a slice has one authority, and an older one does not go on beside it.",
        tables="""
            seen AS (
                SELECT o.id, o.record_id, o.entity, o.region, o.epoch, o.authority
                FROM $operations t JOIN operation o ON o.id = t.operation_id
                WHERE o.state NOT IN $without_effect),
            done AS (
                SELECT o.entity, o.region, o.epoch, o.authority, e.position
                FROM $touched e JOIN operation o ON o.id = e.operation_id JOIN delivery d ON d.id = e.delivery_id
                WHERE e.event = 'authority_applied' AND d.source = 'answer'),
            spans AS (
                SELECT entity, region, epoch, authority, min(position) AS began, max(position) AS ended
                FROM done GROUP BY entity, region, epoch, authority),
            shared AS (
                SELECT entity, region, epoch FROM seen
                GROUP BY entity, region, epoch HAVING min(authority) <> max(authority))""",
        query="""
            SELECT w.record_id FROM seen w
            LEFT JOIN slice s ON s.entity = w.entity AND s.region = w.region
            WHERE s.epoch IS NULL OR w.epoch > s.epoch
                OR (w.epoch = s.epoch AND w.authority <> s.authority AND NOT s.draining)
            UNION
            SELECT w.record_id FROM shared h
            JOIN seen w ON w.entity = h.entity AND w.region = h.region AND w.epoch = h.epoch
            UNION
            SELECT l.record_id FROM spans n
            JOIN spans b ON b.entity = n.entity AND b.region = n.region AND b.epoch < n.epoch
                AND b.authority <> n.authority AND b.ended > n.began
            JOIN operation_event l ON l.position = b.ended
            UNION
            SELECT d.record_id FROM delivery d
            JOIN slice s ON s.entity = d.entity AND s.region = d.region
            WHERE d.state IN ('ready', 'sending') AND d.role = 'authority' AND d.epoch < s.epoch
                AND d.system <> s.authority AND NOT s.draining""",
    ),
    Invariant(
        name="crosswalk",
        law="A link is between one record of ours and one of a system, of the same kind, and what is applied is"
        " linked, but for what a repair is to make anew.",
        query="""
            SELECT x.record_id FROM (
                SELECT record_id FROM $records UNION
                SELECT record_id FROM crosswalk WHERE record_id > :swept AND record_id <= :until) t
            JOIN crosswalk x ON x.record_id = t.record_id
            LEFT JOIN record r ON r.id = x.record_id
            WHERE r.id IS NULL OR r.entity <> x.entity
            UNION
            SELECT o.record_id FROM $records t JOIN crosswalk x ON x.record_id = t.record_id
            JOIN crosswalk o ON o.system = x.system AND o.entity = x.entity AND o.native_id = x.native_id
            WHERE o.record_id <> x.record_id
            UNION
            SELECT d.record_id FROM $deliveries t JOIN delivery d ON d.id = t.delivery_id
            LEFT JOIN record r ON r.id = d.record_id
            LEFT JOIN crosswalk x ON x.record_id = COALESCE(r.merged_into, d.record_id) AND x.system = d.system
            WHERE d.state || '' = 'applied' AND x.record_id IS NULL AND NOT EXISTS (
                SELECT 1 FROM delivery n JOIN operation o ON o.id = n.operation_id
                WHERE n.record_id IN (d.record_id, r.merged_into) AND n.system = d.system AND o.origin = 'repair'
                AND (n.seq > d.seq OR n.record_id <> d.record_id))""",
    ),
    Invariant(
        name="one_effect",
        law="A write has at most one effect in a system, and where its effect is known it is not said to have none.",
        query="""
            SELECT d.record_id FROM $deliveries t JOIN delivery d ON d.id = t.delivery_id
            JOIN attempt p ON p.delivery_id = d.id
            WHERE p.outcome = 'applied' GROUP BY d.record_id, d.id HAVING count(*) > 1
            UNION
            SELECT o.record_id FROM $operations t JOIN operation o ON o.id = t.operation_id
            JOIN operation twin ON twin.marker = o.marker WHERE twin.id <> o.id
            UNION
            SELECT d.record_id FROM late_outcome o JOIN delivery d ON d.id = o.delivery_id
            LEFT JOIN crosswalk x ON x.record_id = d.record_id AND x.system = d.system
            WHERE o.position > :late AND o.outcome = 'applied' AND (
                d.state IN ('rejected', 'skipped', 'superseded')
                OR (d.state = 'applied' AND o.native_id <> x.native_id))""",
    ),
    Invariant(
        name="unfinished",
        law="An operation that has not ended has something to be done, or a case.",
        query="""
            SELECT o.record_id FROM slice s CROSS JOIN operation o
            WHERE o.entity = s.entity AND o.region = s.region AND o.state IN $unended AND o.updated_at < :rested
                AND NOT EXISTS (
                    SELECT 1 FROM delivery d WHERE d.operation_id = o.id AND d.state || '' IN $open)
                AND NOT EXISTS (
                    SELECT 1 FROM case_ c WHERE c.operation_id = o.id AND c.state = 'open')""",
    ),
    Invariant(
        name="parked_without_case",
        law="A delivery that waits for a person has an open case.",
        query="""
            SELECT d.record_id FROM delivery d
            WHERE d.state = 'parked' AND NOT EXISTS (
                SELECT 1 FROM case_ c WHERE c.operation_id = d.operation_id AND c.state = 'open'
                    AND c.subject IN (d.id, d.operation_id))""",
    ),
    Invariant(
        name="forgotten",
        law="What is ready, being sent or of unknown outcome has a moment at which somebody looks at it.",
        query="""
            SELECT d.record_id FROM delivery d
            LEFT JOIN lane l ON l.record_id = d.record_id AND l.system = d.system
            WHERE d.state = 'ready' AND l.inflight IS NULL AND l.wake_at IS NULL AND NOT EXISTS (
                SELECT 1 FROM delivery b
                WHERE b.record_id = d.record_id AND b.system = d.system AND b.seq < d.seq
                    AND b.state || '' IN $open AND b.state || '' <> 'ready'
                    AND (b.role = 'authority' OR d.role = 'authority' OR b.entity NOT IN $latest OR b.maybe_sent > 0))
            UNION
            SELECT record_id FROM delivery WHERE state = 'sending' AND lease_until IS NULL
            UNION
            SELECT record_id FROM delivery WHERE state = 'unknown' AND wake_at IS NULL""",
    ),
)


def _whole(one: Invariant) -> str:
    """The statement of a law, with its common tables and sets in place."""
    body = f"{one.tables}\n{one.query}"
    named = [name for name in _TABLES if f"${name} " in body]
    if named and named[0] != "touched":
        named.insert(0, "touched")
    tables = [f"{name} AS ({_TABLES[name]})" for name in named]
    if one.tables:
        tables.append(one.tables)
    head = f"WITH {', '.join(tables)} " if tables else ""
    whole = f"{head}SELECT DISTINCT record_id FROM ({one.query}) AS found ORDER BY record_id LIMIT {NAMED}"  # noqa: S608 - our own texts
    for name in named:
        whole = whole.replace(f"${name} ", f"{name} ")
    for name, values in _SETS.items():
        whole = whole.replace(name, values)
    return whole


STATEMENTS: Mapping[str, TextClause] = {one.name: text(_whole(one)) for one in INVARIANTS}
