"""The rule of each slice as it is in force: read in the writer's own transaction for writes, from a copy of at most
``refresh_s`` seconds for reads.

A cohort shares the lock of its region, so that whoever holds one slice of a region holds still which of its records
are in which cohort. A move of authority takes it for the moments of its two commits, and not while it drains."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, func, insert, select, text, update

from gateway.clock import Clock, rfc3339
from gateway.database import Database, among, from_micros
from gateway.errors import UnknownRegion
from gateway.ledger.tables import slice_, slice_change
from gateway.routing.cohort import cohort_of, plain, plain_regions
from gateway.routing.plan import PLANS
from gateway.routing.ruleset import Rule
from gateway.routing.stage import Stage, System


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """One (entity, region) and how it is routed now."""

    entity: str
    region: str  #: of a cohort's slice, the place that it is addressed by: region.cohort
    stage: Stage
    authority: System
    epoch: int  #: number of the authority period; never used twice
    version: int  #: rises with each change of the rule
    compare_sample: int  #: one read in n is compared; 0: none
    storable: bool  #: writes are accepted and kept while the authority is down
    draining: bool  #: the authority is moving: new writes are held until it has
    note: str
    updated_at: str
    cohort: str | None = None  #: the name of the cohort; None: it is the region's own slice


class SliceChange(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    at: str
    actor: str
    reason: str
    before: dict[str, Any] | None
    after: dict[str, Any]
    overridden: tuple[str, ...]


def lock_shared(connection: Connection, keys: Iterable[tuple[str, str]]) -> None:
    """Writers hold their slices shared; a move of authority takes one exclusively. (SQLite has one writer anyway.)"""
    if connection.dialect.name == "postgresql":
        numbers = sorted({_lock_number(key) for key in keys})
        connection.execute(_LOCK_SHARED, {"keys": numbers})


def lock_exclusive(connection: Connection, *keys: tuple[str, str]) -> None:
    """Several are taken in the order in which writers take them."""
    if connection.dialect.name == "postgresql":
        for number in sorted({_lock_number(key) for key in keys}):
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": number})


_LOCK_SHARED = text("SELECT pg_advisory_xact_lock_shared(k) FROM unnest(CAST(:keys AS bigint[])) AS k")


def _lock_number(key: tuple[str, str]) -> int:
    """A stable 63-bit number for a slice, which it shares with the cohorts of its region. Others that share one only
    wait for each other without need."""
    number = 1469598103934665603
    for byte in f"{key[0]}|{plain(key[1])}".encode():
        number = ((number ^ byte) * 1099511628211) & 0x7FFFFFFFFFFFFFFF
    return number


def read(
    connection: Connection, keys: Iterable[tuple[str, str]] | None = None
) -> dict[tuple[str, str], Slice]:
    """The slices as this transaction sees them; all of them when no keys are given."""
    if keys is None:
        return {(row.entity, row.region): _slice(row) for row in connection.execute(_ALL)}
    wanted = set(keys)
    rows = connection.execute(_OF_ENTITIES, {"entities": sorted({entity for entity, _ in wanted})})
    return {key: _slice(row) for row in rows if (key := (row.entity, row.region)) in wanted}


def read_regions(
    connection: Connection, keys: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Slice]:
    """These slices with those of every cohort of their regions, in the one statement that ``read`` takes."""
    wanted = {(entity, plain(region)) for entity, region in keys}
    rows = connection.execute(_OF_ENTITIES, {"entities": sorted({entity for entity, _ in wanted})})
    return {
        (row.entity, row.region): _slice(row) for row in rows if (row.entity, plain(row.region)) in wanted
    }


_ALL = select(slice_)
_OF_ENTITIES = _ALL.where(among(slice_.c.entity, "entities"))


def seed(
    connection: Connection,
    rules: Mapping[tuple[str, str], Rule],
    *,
    at: int,
    actor: str,
    following: Collection[tuple[str, str]] = (),
) -> int:
    """Makes a slice for every rule that has none yet. What is there already stays as it was switched. A slice of
    ``following`` begins where its region's slice is by now, if there is one."""
    present = read(connection)
    missing = [rule for key, rule in rules.items() if key not in present]
    if not missing:
        return 0
    rows: list[dict[str, Any]] = []
    for rule in missing:
        parent = present.get((rule.entity, plain(rule.region)))
        begins = rule if parent is None or (rule.entity, rule.region) not in following else parent
        rows.append(
            {
                "entity": rule.entity,
                "region": rule.region,
                "stage": begins.stage.value,
                "authority": PLANS[begins.stage].authority.value,
                "epoch": 1,
                "version": 1,
                "compare_sample": begins.compare_sample,
                "storable": begins.storable,
                "draining": False,
                "note": begins.note,
                "updated_at": at,
            }
        )
    connection.execute(insert(slice_), rows)
    connection.execute(
        insert(slice_change),
        [
            {
                "entity": row["entity"],
                "region": row["region"],
                "version": 1,
                "at": at,
                "actor": actor,
                "reason": "first start",
                "before": None,
                "after": _encode(_told(row)),
                "overridden": "[]",
            }
            for row in rows
        ],
    )
    return len(rows)


def change(
    connection: Connection,
    before: Slice,
    values: Mapping[str, Any],
    *,
    at: int,
    actor: str,
    reason: str,
    overridden: tuple[str, ...] = (),
    numbered: bool = True,
) -> Slice:
    """Writes new values of one slice. ``numbered`` changes raise its version and enter its history; the fence and
    its lifting are steps of one change and do neither."""
    row = {
        **{name: getattr(before, name) for name in _TOLD},
        **values,
        "version": before.version + (1 if numbered else 0),
        "updated_at": at,
    }
    connection.execute(
        update(slice_).where(slice_.c.entity == before.entity, slice_.c.region == before.region).values(**row)
    )
    if numbered:
        connection.execute(
            insert(slice_change),
            [
                {
                    "entity": before.entity,
                    "region": before.region,
                    "version": row["version"],
                    "at": at,
                    "actor": actor,
                    "reason": reason,
                    "before": _encode(_told(msgspec.structs.asdict(before))),
                    "after": _encode(_told(row)),
                    "overridden": _encode(list(overridden)),
                }
            ],
        )
    return read(connection, [(before.entity, before.region)])[before.entity, before.region]


def history(
    connection: Connection, entity: str, region: str, *, after: int | None = None, limit: int = 50
) -> tuple[SliceChange, ...]:
    """Changes from the newest to the oldest; ``after`` is the version that the last page ended with."""
    query = (
        select(slice_change)
        .where(slice_change.c.entity == entity, slice_change.c.region == region)
        .order_by(slice_change.c.version.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(slice_change.c.version < after)
    return tuple(
        SliceChange(
            version=row.version,
            at=rfc3339(from_micros(row.at)),
            actor=row.actor,
            reason=row.reason,
            before=None if row.before is None else msgspec.json.decode(row.before),
            after=msgspec.json.decode(row.after),
            overridden=tuple(msgspec.json.decode(row.overridden)),
        )
        for row in connection.execute(query)
    )


class Slices:
    """The slices as this process knows them. ``start()`` loads them and keeps the copy at most ``refresh_s`` old."""

    def __init__(self, *, database: Database, clock: Clock, refresh_s: float) -> None:
        self._database = database
        self._clock = clock
        self._refresh_s = refresh_s
        self._known: dict[tuple[str, str], Slice] = {}
        self._within: dict[tuple[str, str], tuple[str, ...]] = {}
        self._places: dict[str | None, tuple[str, ...]] = {}
        self._seen_at = 0.0
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.refresh()
        self._task = asyncio.create_task(self._keep_fresh(), name="slices")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def look(self) -> None:
        """Somebody says that a rule may have changed: ``start()``'s loop looks now instead of at its next turn."""
        self._asked.set()

    async def refresh(self) -> None:
        self._known = await self._database.read(read)
        within: dict[tuple[str, str], list[str]] = {}
        for entity, place in sorted(self._known):
            within.setdefault((entity, plain(place)), []).append(place)
        self._within = {key: tuple(places) for key, places in within.items()}
        places: dict[str | None, set[str]] = {None: {place for _, place in self._known}}
        for entity, place in self._known:
            places.setdefault(entity, set()).add(place)
        self._places = {entity: tuple(sorted(found)) for entity, found in places.items()}
        self._seen_at = self._clock.monotonic()

    async def all(self) -> tuple[Slice, ...]:
        """Every slice as it is in the database now."""
        return tuple((await self._database.read(read)).values())

    def cached(self, entity: str, region: str) -> Slice:
        """The slice as of the last refresh. Raises UnknownRegion."""
        try:
            return self._known[entity, region]
        except KeyError:
            raise UnknownRegion(f"{region!r} is not one of {', '.join(self.regions())}") from None

    def authorities(self, entity: str, regions: frozenset[str] | None) -> frozenset[str]:
        """The systems that answer for these slices of an entity, as of the last refresh; None: in every region."""
        return frozenset(
            one.authority.value
            for (name, region), one in self._known.items()
            if name == entity and (regions is None or region in regions)
        )

    def regions(self) -> tuple[str, ...]:
        return plain_regions(self.places())

    def places(self, entity: str | None = None) -> tuple[str, ...]:
        """Where slices are: the regions, and their cohorts. ``entity``: where that one has slices."""
        return self._places.get(entity, ())

    def within(self, entity: str, region: str) -> tuple[str, ...]:
        """Where records of an entity and a region may be: the region, and its cohorts that have a slice of it."""
        return self._within.get((entity, region), (region,))

    def age_s(self) -> float:
        """How old the copy is; a replica whose copy is older than 10 s must not say that it is ready."""
        return self._clock.monotonic() - self._seen_at

    async def history(
        self, entity: str, region: str, *, after: int | None = None, limit: int = 50
    ) -> tuple[SliceChange, ...]:
        if (entity, region) not in self._known:
            raise UnknownRegion(f"no rule for {entity} in {region}")
        return await self._database.read(lambda conn: history(conn, entity, region, after=after, limit=limit))

    async def _keep_fresh(self) -> None:
        marked: int | None = None
        while True:
            await self._turn()
            try:
                # The sum of versions and fences moves with every change, so an unchanged set costs one number.
                now = await self._database.read(_fingerprint)
                if now != marked:
                    await self.refresh()
                    marked = now
                self._seen_at = self._clock.monotonic()
            except Exception:  # noqa: BLE001 - the age of the copy tells readiness; the next turn tries again
                marked = None

    async def _turn(self) -> None:
        """Returns after ``refresh_s``, or at once when somebody asks for a look."""
        waits = [
            asyncio.ensure_future(self._clock.sleep(self._refresh_s)),
            asyncio.ensure_future(self._asked.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
        self._asked.clear()


_FINGERPRINT = select(func.coalesce(func.sum(slice_.c.updated_at), 0))


def _fingerprint(connection: Connection) -> int:
    return int(connection.execute(_FINGERPRINT).scalar_one())


_TOLD = ("stage", "authority", "epoch", "compare_sample", "storable", "draining", "note")


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _TOLD if name != "draining"}


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _slice(row: Any) -> Slice:
    return Slice(
        entity=row.entity,
        region=row.region,
        stage=Stage(row.stage),
        authority=System(row.authority),
        epoch=row.epoch,
        version=row.version,
        compare_sample=row.compare_sample,
        storable=row.storable,
        draining=row.draining,
        note=row.note,
        updated_at=rfc3339(from_micros(row.updated_at)),
        cohort=cohort_of(row.region),
    )
