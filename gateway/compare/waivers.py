"""Keeps waivers, and sees to it that the records that one covers are looked at again when it begins and ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, select, update

from gateway.audit import record as audited
from gateway.compare.jobs import schedule
from gateway.compare.observation import CompareJob, Sample
from gateway.compare.tables import diff, diff_field
from gateway.compare.tables import waiver as waiver_
from gateway.compare.tolerance import EXACT
from gateway.compare.verdict import Verdict
from gateway.compare.waiver import KINDS, Pair, Standing, Waiver, Wish, fields_of, waiver_of
from gateway.database import Database, from_micros
from gateway.errors import FieldError, Invalid, NotFoundHere
from gateway.ids import WAIVER, Ids

MICROS = 1_000_000
#: The longest that something may be accepted; then somebody has to decide it anew.
LONGEST_DAYS = 366
LONGEST = LONGEST_DAYS * 24 * 3600 * MICROS
#: Records that are put on the queue of comparisons in one commit.
BATCH = 500
#: After its end a waiver may be believed in for this long by a process that has not looked since; its records are
#: looked at again after that.
GRACE = 5 * MICROS

_decode_samples = msgspec.json.Decoder(tuple[Sample, ...]).decode
_decode_pair = msgspec.json.Decoder(Pair).decode
_encode = msgspec.json.Encoder().encode


class Waivers:
    """Waivers as HTTP, console and command line use them, and the loop that has their records looked at again."""

    def __init__(self, *, database: Database, ids: Ids) -> None:
        self._database = database
        self._ids = ids

    async def create(self, wish: Wish, *, actor: str) -> Standing:
        """Keeps a waiver, with its audit row in the same commit. Raises Invalid, naming the field and the remedy."""

        def unit(connection: Connection) -> Standing:
            now = self._database.now(connection)
            _check(connection, wish, now)
            made = Waiver(
                id=self._ids.new(WAIVER),
                created_at=now,
                created_by=actor,
                **{name: getattr(wish, name) for name in Wish.__struct_fields__},
            )
            connection.execute(waiver_.insert(), [{**_row(made), "due_at": now, "looked": ""}])
            _audit(connection, made, at=now, actor=actor, action="waiver.create")
            return _standings(connection, [made], now)[0]

        return await self._database.transaction(unit)

    async def revoke(
        self,
        waiver_id: str,
        *,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Standing:
        """Ends a waiver now; one that is over stays as it is. Raises NotFoundHere, also outside the caller's reach."""

        def unit(connection: Connection) -> Standing:
            now = self._database.now(connection)
            found = _one(connection, waiver_id, regions, entities)
            if found.state(now) == "active":
                found = msgspec.structs.replace(found, revoked_at=now, revoked_by=actor)
                connection.execute(
                    update(waiver_)
                    .where(waiver_.c.id == waiver_id)
                    .values(revoked_at=now, revoked_by=actor, due_at=now + GRACE)
                )
                _audit(connection, found, at=now, actor=actor, action="waiver.revoke")
            return _standings(connection, [found], now)[0]

        return await self._database.transaction(unit)

    async def one(
        self, waiver_id: str, *, regions: frozenset[str] | None = None, entities: frozenset[str] | None = None
    ) -> Standing:
        """Raises NotFoundHere, also outside the caller's reach."""

        def unit(connection: Connection) -> Standing:
            now = self._database.now(connection)
            return _standings(connection, [_one(connection, waiver_id, regions, entities)], now)[0]

        return await self._database.read(unit)

    async def page(
        self,
        *,
        entity: str | None = None,
        region: str | None = None,
        state: str | None = None,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Sequence[Standing]:
        """The newest first, beginning behind the id ``after``."""

        def unit(connection: Connection) -> Sequence[Standing]:
            now = self._database.now(connection)
            wanted: list[ColumnElement[bool]] = [*_reach(regions, entities), *_in_state(state, now)]
            for column, value in ((waiver_.c.entity, entity), (waiver_.c.region, region)):
                if value is not None:
                    wanted.append(column == value)
            if after is not None:
                wanted.append(waiver_.c.id < after)
            rows = connection.execute(
                select(waiver_).where(*wanted).order_by(waiver_.c.id.desc()).limit(limit)
            ).mappings()
            return _standings(connection, [_waiver(row) for row in rows], now)

        return await self._database.read(unit)

    async def run_once(self) -> int:
        """Puts records of one waiver that has begun or ended on the queue of comparisons; how many. Safe to run twice,
        and anywhere at once."""
        return await self._database.transaction(self._step)

    def _step(self, connection: Connection) -> int:
        now = self._database.now(connection)
        row = (
            connection.execute(
                select(waiver_)
                .where(waiver_.c.due_at <= now)
                .order_by(waiver_.c.due_at)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            .mappings()
            .one_or_none()
        )
        if row is None:
            return 0
        found = _waiver(row)
        over = found.state(now) != "active"
        phase = "end:" if over else "begin:"
        looked = str(row["looked"])
        after = looked.removeprefix(phase) if looked.startswith(phase) else ""
        rows = _touched(connection, found, over=over, after=after)
        again = [one for one in rows if not over or _may_be_by(one, found.id)]
        schedule(
            connection,
            [
                CompareJob(
                    record_id=one.record_id,
                    entity=one.entity,
                    region=one.region,
                    authority=one.authority,
                    other=one.other,
                    stage=one.stage,
                    seq=0,
                    reason="read",
                    due_at=now,
                )
                for one in again
            ],
        )
        if len(rows) == BATCH:
            values: dict[str, Any] = {"looked": phase + rows[-1].id}
        else:
            values = {"looked": phase, "due_at": None if over else found.expires_at + GRACE}
        connection.execute(update(waiver_).where(waiver_.c.id == found.id).values(**values))
        # One at least, so that the loop goes on to the next waiver without a rest.
        return max(1, len(again))


def in_force(connection: Connection, now: int) -> Mapping[tuple[str, str], Sequence[Waiver]]:
    """The waivers of this moment by slice, the oldest first."""
    rows = connection.execute(
        select(waiver_)
        .where(waiver_.c.expires_at > now, waiver_.c.revoked_at.is_(None))
        .order_by(waiver_.c.id)
    ).mappings()
    found: defaultdict[tuple[str, str], list[Waiver]] = defaultdict(list)
    for row in rows:
        found[row["entity"], row["region"]].append(_waiver(row))
    return found


def _check(connection: Connection, wish: Wish, now: int) -> None:
    problems: list[FieldError] = []

    def wrong(name: str, code: str, message: str) -> None:
        problems.append(FieldError(pointer=f"/{name}", code=code, message=message))

    if wish.field not in fields_of(wish.entity):
        near = ", ".join(sorted(fields_of(wish.entity) - {""}))
        wrong("field", "unknown", f"is no field of {wish.entity} that is compared; they are {near}")
    if wish.kind not in KINDS:
        wrong("class", "unknown", f"is one of {', '.join(KINDS)}")
    for name in ("reason", "owner"):
        if not getattr(wish, name).strip():
            wrong(name, "blank", "must say something")
    if wish.expires_at <= now:
        wrong("expires_at", "past", "must be in the future")
    elif wish.expires_at > now + LONGEST:
        last = from_micros(now + LONGEST).date().isoformat()
        wrong("expires_at", "too_late", f"may be {LONGEST_DAYS} days ahead at most, {last}; renew it then")
    if problems:
        raise Invalid(f"{problems[0].pointer} {problems[0].message}", errors=problems)
    for one in in_force(connection, now).get((wish.entity, wish.region), ()):
        if (one.field, one.kind, one.pair) == (wish.field, wish.kind, wish.pair):
            message = f"is waived already, by {one.id}: revoke that one first"
            error = FieldError(pointer="/field", code="waived", message=message)
            raise Invalid(f"this difference {message}", errors=[error])


def _one(
    connection: Connection,
    waiver_id: str,
    regions: frozenset[str] | None,
    entities: frozenset[str] | None,
) -> Waiver:
    row = (
        connection.execute(select(waiver_).where(waiver_.c.id == waiver_id, *_reach(regions, entities)))
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise NotFoundHere("there is no such waiver, or it is outside the key's regions")
    return _waiver(row)


def _reach(regions: frozenset[str] | None, entities: frozenset[str] | None) -> Iterator[ColumnElement[bool]]:
    if regions is not None:
        yield waiver_.c.region.in_(sorted(regions))
    if entities is not None:
        yield waiver_.c.entity.in_(sorted(entities))


def _in_state(state: str | None, now: int) -> Iterator[ColumnElement[bool]]:
    if state == "revoked":
        yield waiver_.c.revoked_at.is_not(None)
    elif state is not None:
        yield waiver_.c.revoked_at.is_(None)
        yield waiver_.c.expires_at > now if state == "active" else waiver_.c.expires_at <= now


def _touched(connection: Connection, found: Waiver, *, over: bool, after: str) -> Sequence[Any]:
    """Open findings that the waiver may cover, or may have covered, by their id."""
    about = _about(found, Verdict.EXPLAINED if over else Verdict.MISMATCH)
    return connection.execute(
        select(diff)
        .join(diff_field, diff_field.c.diff_id == diff.c.id)
        .where(about, diff.c.resolved_at.is_(None), diff.c.id > after)
        .order_by(diff.c.id)
        .limit(BATCH)
    ).all()


def _about(found: Waiver, verdict: Verdict) -> ColumnElement[bool]:
    return and_(
        diff_field.c.entity == found.entity,
        diff_field.c.region == found.region,
        diff_field.c.field == found.field,
        diff_field.c["class"] == found.kind,
        diff_field.c.verdict == verdict,
    )


def _may_be_by(row: Any, waiver_id: str) -> bool:
    kept = _decode_samples(cast("str", row.differences))
    return len(kept) < row.difference_count or any(waiver_of(one) == waiver_id for one in kept)


def _standings(connection: Connection, waivers: Sequence[Waiver], now: int) -> list[Standing]:
    return [_standing(connection, one, now) for one in waivers]


def _standing(connection: Connection, found: Waiver, now: int) -> Standing:
    findings = 0
    money: dict[str, Decimal] = {}
    rows = connection.execute(
        select(diff.c.differences)
        .join(diff_field, diff_field.c.diff_id == diff.c.id)
        .where(_about(found, Verdict.EXPLAINED), diff.c.resolved_at.is_(None))
    )
    for row in rows:
        mine = [one for one in _decode_samples(row.differences) if waiver_of(one) == found.id]
        findings += bool(mine)
        for one in mine:
            if one.stake is not None:
                money[one.stake.currency] = EXACT.add(
                    money.get(one.stake.currency, Decimal(0)), one.stake.amount
                )
    return Standing(waiver=found, state=found.state(now), findings=findings, money=money)


def _audit(connection: Connection, found: Waiver, *, at: int, actor: str, action: str) -> None:
    audited(
        connection,
        at=at,
        actor=actor,
        action=action,
        subject=f"{found.entity}/{found.region}",
        detail={
            "waiver": found.id,
            "field": found.field,
            "class": found.kind,
            "pair": msgspec.to_builtins(found.pair),
            "reason": found.reason,
            "owner": found.owner,
            "expires_at": from_micros(found.expires_at).isoformat(),
        },
    )


def _row(found: Waiver) -> dict[str, Any]:
    row = msgspec.structs.asdict(found)
    row["class"] = row.pop("kind")
    row["pair"] = None if found.pair is None else _encode(found.pair).decode()
    return row


def _waiver(row: Mapping[Any, Any]) -> Waiver:
    fields = {name: row["class" if name == "kind" else name] for name in Waiver.__struct_fields__}
    fields["pair"] = None if fields["pair"] is None else _decode_pair(fields["pair"])
    return Waiver(**fields)
