"""Two exports that are read as sets: they say what their rows say, to the last figure."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, func, select, update

from gateway.crosswalk.tables import crosswalk
from gateway.ledger.tables import record
from gateway.reconcile import Run, left, store
from gateway.reconcile.run import Phase
from gateway.reconcile.sets import Sets
from gateway.reconcile.tables import reconcile_part, reconcile_range, reconcile_row
from gateway.settings import Settings, SourceSettings
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import World, customer, fresh
from tests.integration.reconcile.planted import followed
from tests.systems.sandbox import Sandbox

ENTITY, REGION = "invoice", "DACH"
HEADS = {
    "legacy": 'encoding = "utf-8"\ndelimiter = ";"\ndecimals = "decimal_comma"\ndates = "date_dmy_dots"\n',
    "cloud": "",
}
FIELDS = """
[values.states]
O = "posted"
P = "paid"
[entities.invoice]
file = "invoices.csv"
key = "key"
[entities.invoice.fields]
number = "number"
legal_entity = "company"
currency = "currency"
state = { path = "state", values = "states" }
customer_id = { path = "customer", ref = "customer" }
issue_date = "issued"
due_date = "due"
net_total = { amount = "net", currency = "currency" }
tax_total = { amount = "tax", currency = "/currency" }
total = { amount = "total", currency = "currency" }
balance = { amount = "balance", currency = "currency" }
"""
COLUMNS = (
    "key", "number", "company", "currency", "state", "customer", "issued", "due", "net", "tax", "total", "balance"
)  # fmt: skip


@pytest.fixture
def exports(tmp_path: Path) -> dict[str, Path]:
    """The folder of each side's export."""
    folders = {side: tmp_path / f"export-{side}" for side in HEADS}
    for side, folder in folders.items():
        folder.mkdir()
        (folder / "map.toml").write_text(f'kind = "csv"\norigin = "this test"\n{HEADS[side]}{FIELDS}', "utf-8")
    return folders


@pytest.fixture
async def world(settings: Settings, erps: Sandbox, exports: dict[str, Path]) -> AsyncIterator[World]:
    sources = {
        f"{side}_export": SourceSettings(system=side, map=str(there / "map.toml"), address=str(there), window_s=0.0)
        for side, there in exports.items()
    }
    async with opened(msgspec.structs.replace(settings, sources=sources), erps) as one:
        yield one


class Book:
    """Invoices as both sides export them. What is odd is so in one of them, or in both."""

    def __init__(self, seed: int, customers: list[dict[str, str]]) -> None:
        self._random = random.Random(seed)
        self._customers = customers

    def rows(self, count: int) -> dict[str, list[dict[str, str]]]:
        sides: dict[str, list[dict[str, str]]] = {"legacy": [], "cloud": []}
        for number in range(count):
            one = self._invoice(number)
            for side, rows in sides.items():
                rows.append(self._written(side, number, one))
            self._odd(sides)
        for rows in sides.values():
            self._random.shuffle(rows)
        return sides

    def _invoice(self, number: int) -> dict[str, Any]:
        some = self._random
        cents = some.choice([0, some.randrange(1, 10**6), -some.randrange(1, 10**4), 9_999_999_999_999_999])
        day = some.randrange(1, 28)
        return {
            "number": f"R{number}",
            "company": some.choice(["DE01", "DE01", "CH01", "UK01"]),
            "currency": some.choice(["EUR", "CHF", "JPY"]),
            "state": some.choice("OP"),
            "customer": some.choice(self._customers),
            "issued": (some.randrange(1, 10), day),
            "due": some.choice([(some.randrange(1, 10), day), None]),
            "net": cents,
            "balance": some.choice([0, cents, None]),
        }

    def _written(self, side: str, number: int, one: dict[str, Any]) -> dict[str, str]:
        dot = side == "cloud"

        def amount(cents: int | None) -> str:
            if cents is None:
                return ""
            whole = abs(cents) if one["currency"] == "JPY" else abs(cents) // 100
            text = str(whole) if one["currency"] == "JPY" else f"{whole}.{abs(cents) % 100:02d}"
            text = ("-" if cents < 0 else "") + text
            if dot:
                return text
            text = text.replace(".", ",")
            return text + "0" if "," in text and number % 3 == 0 else text

        def day(found: tuple[int, int] | None) -> str:
            if found is None:
                return ""
            return f"2026-{found[0]:02d}-{found[1]:02d}" if dot else f"{found[1]:02d}.{found[0]:02d}.2026"

        return {
            "key": f"{side[0].upper()}{number}",
            "number": one["number"],
            "company": one["company"],
            "currency": one["currency"],
            "state": one["state"],
            "customer": one["customer"][side],
            "issued": day(one["issued"]),
            "due": day(one["due"]),
            "net": amount(one["net"]),
            "tax": "0",
            "total": amount(one["net"]),
            "balance": amount(one["balance"]),
        }

    def _odd(self, sides: dict[str, list[dict[str, str]]]) -> None:
        """Makes the last row odd, once in three times."""
        some = self._random
        rows = sides[some.choice(["legacy", "cloud"])]
        match some.randrange(36):
            case 0:
                rows.pop()
            case 1:
                rows[-1]["total"] = "12"
            case 2:
                rows[-1]["state"] = "P" if rows[-1]["state"] == "O" else "O"
            case 3:
                rows[-1]["state"] = "?"
            case 4:
                rows[-1]["net"] = "1e5"
            case 5:
                rows[-1]["currency"] = ""
            case 6:
                rows[-1]["key"] = ""
            case 7:
                rows.append({**rows[-1]})
            case 8:
                rows.append({**rows[-1], "key": rows[-1]["key"] + "b"})
            case 9:
                rows[-1]["customer"] = "nobody"
            case 10:
                rows[-1]["issued"] = "32.13.2026"
            case 11:
                for each in sides.values():
                    each[-1]["net"] = "abc"
            case 12:
                for each in sides.values():
                    each[-1]["number"] = ""
            case 13:
                rows[-1]["company"] = "CH01"
            case _:
                return


def put(exports: dict[str, Path], sides: dict[str, list[dict[str, str]]], *, ends: str = "\n") -> None:
    for side, rows in sides.items():
        delimiter = ";" if side == "legacy" else ","
        lines = [COLUMNS, *(tuple(row[name] for name in COLUMNS) for row in rows)]
        text = "".join(delimiter.join(cells) + ends for cells in lines)
        (exports[side] / "invoices.csv").write_bytes(text.encode())


async def reconciled(world: World, *, as_sets: bool) -> Run:
    """A run, of which each file is read as a set or each row by itself."""
    sets: Sets = world.gateway.reconciler.steps._sets
    sets._from_bytes = 0 if as_sets else 2**60
    run = await world.gateway.reconciler.start(
        ENTITY, REGION, actor="tests", sources=["legacy_export", "cloud_export"]
    )
    return await followed(world, run, "done")


async def said(world: World, run: Run) -> dict[str, Any]:
    """Everything that a run has found, but for the ids of what it has met for the first time."""
    assert run.report is not None
    report = msgspec.to_builtins(run.report)
    report["as_of"] = ""
    parts = await world.gateway.database.read(
        lambda conn: conn.execute(
            select(
                reconcile_part.c.kind, reconcile_part.c.term, reconcile_part.c.differences, record.c.match_key
            )
            .join(record, record.c.id == reconcile_part.c.record_id)
            .where(reconcile_part.c.run_id == run.id)
        ).all()
    )
    unreadable = [(one.side, one.row.line, one.row.field, one.row.reason) for one in run.unreadable]
    return {
        "report": report,
        "read": (run.read_authority, run.read_mirror),
        "verdict": run.verdict,
        "parts": sorted((row.kind, row.term or "", row.differences, row.match_key or "") for row in parts),
        "unreadable": sorted(unreadable, key=str),
    }


async def settled_at_once(world: World, run: Run) -> int:
    """How many records of a run were settled as a set."""

    def unit(connection: Connection) -> int:
        ranges = reconcile_range.c
        text = connection.execute(
            select(ranges.tally).where(ranges.run_id == run.id, ranges.first == " ")
        ).scalar_one_or_none()
        return 0 if text is None else msgspec.json.decode(text)["equal"]

    return await world.gateway.database.read(unit)


async def customers(world: World, count: int = 4) -> list[dict[str, str]]:
    """The ids of some customers in both systems."""
    made = [await world.made("customers", customer(number=fresh(), region=REGION)) for _ in range(count)]
    await world.quiet()
    told = [(await world.get(f"/v1/customers/{one['id']}")).json()["external_refs"] for one in made]
    return [{"legacy": one["legacy"], "cloud": one["cloud"]} for one in told]


@pytest.mark.parametrize(("seed", "ends"), [(seed, "\r\n" if seed == 3 else "\n") for seed in range(8)])
async def test_sets_say_what_rows_say(world: World, exports: dict[str, Path], seed: int, ends: str) -> None:
    """Whatever is wrong with either file, a run over sets reports what a run over rows does: when nobody knows of the
    records, and when all of them are known."""
    put(exports, Book(seed, await customers(world)).rows(160), ends=ends)
    first = await reconciled(world, as_sets=True)
    assert await settled_at_once(world, first) > 30
    by_rows = await reconciled(world, as_sets=False)
    assert await settled_at_once(world, by_rows) == 0
    again = await reconciled(world, as_sets=True)
    assert await settled_at_once(world, again) > 30
    assert await said(world, first) == await said(world, by_rows) == await said(world, again)


async def test_the_crosswalk_pairs_before_the_number_does(world: World, exports: dict[str, Path]) -> None:
    """Two records that are linked crosswise part in both ways of reading, though each number is in both files."""
    put(exports, Book(1, await customers(world)).rows(60))
    await reconciled(world, as_sets=False)

    def cross(connection: Connection) -> None:
        links = crosswalk.c
        wanted = (links.entity == ENTITY) & (links.system == "cloud")
        rows = connection.execute(select(links.record_id, links.native_id).where(wanted).limit(2)).all()
        for record_id, native_id in ((rows[0][0], "aside"), (rows[1][0], rows[0][1]), (rows[0][0], rows[1][1])):
            connection.execute(
                update(crosswalk).where(wanted, links.record_id == record_id).values(native_id=native_id)
            )

    await world.gateway.database.transaction(cross)
    world.gateway.records._known.holders.clear()  # as in a process that was started now
    by_rows, as_sets = [await reconciled(world, as_sets=one) for one in (False, True)]
    assert await settled_at_once(world, as_sets) > 10
    assert await said(world, as_sets) == await said(world, by_rows)


@pytest.mark.parametrize("why", ["quotes", "a line that is no row", "bytes that are no text", "a line end within"])
async def test_what_a_set_cannot_take_is_read_by_rows(world: World, exports: dict[str, Path], why: str) -> None:
    """A file that could be cut in another way than by its lines is read row by row, and told as ever."""
    put(exports, Book(2, await customers(world)).rows(30))
    path = exports["cloud"] / "invoices.csv"
    more = {
        "quotes": b'"C99","R99",CH01,EUR,O,,,,1,1,1,\n',
        "a line that is no row": b"C99,R99\n",
        "bytes that are no text": b"C99,R\xff99,CH01,EUR,O,,,,1,1,1,\n",
        "a line end within": b"C99,R\r99,CH01,EUR,O,,,,1,1,1,\n",
    }[why]
    path.write_bytes(path.read_bytes() + more)
    as_sets, by_rows = [await reconciled(world, as_sets=one) for one in (True, False)]
    assert await settled_at_once(world, as_sets) == 0
    assert await said(world, as_sets) == await said(world, by_rows)


async def test_another_process_goes_on_with_what_is_left(world: World, exports: dict[str, Path]) -> None:
    """Whoever takes a run over whose sources were read as sets goes on with what is left of them, and nothing is
    counted twice; what was left is forgotten with the rest that was read."""
    put(exports, Book(4, await customers(world)).rows(120))
    reconciler = world.gateway.reconciler
    reconciler.steps._sets._from_bytes = 0
    busy, reconciler._busy = reconciler._busy, lambda: True  # nobody else takes it meanwhile
    run = await reconciler.start(ENTITY, REGION, actor="tests", sources=["legacy_export", "cloud_export"])
    work = await world.gateway.database.transaction(
        lambda conn: store.claim(conn, now=world.gateway.database.now(conn), lease=0, only=run.id)
    )
    while work is not None and work.phase is not Phase.MATCH:
        reconciler.steps._left.clear()
        work = await reconciler.steps.take(work)
    reconciler._busy = busy
    ended = await followed(world, run, "done")
    assert await settled_at_once(world, ended) > 20

    async def forgotten() -> bool:
        return not await world.gateway.database.read(lambda conn: left.of(conn, run.id))

    await world.until(forgotten, "what was left is forgotten", 10)
    by_rows = await reconciled(world, as_sets=False)
    assert await said(world, ended) == await said(world, by_rows)


async def test_what_is_the_same_is_given_no_record(world: World, exports: dict[str, Path]) -> None:
    """Only what is left of two sets is kept, and met: a million records that are the same make no million rows."""
    sides = Book(5, await customers(world)).rows(80)
    put(exports, sides)
    run = await reconciled(world, as_sets=True)
    settled = await settled_at_once(world, run)

    def unit(connection: Connection) -> tuple[int, int]:
        met = connection.execute(select(func.count()).select_from(record).where(record.c.entity == ENTITY))
        kept = connection.execute(
            select(func.count()).select_from(reconcile_row).where(reconcile_row.c.run_id == run.id)
        )
        return met.scalar_one(), kept.scalar_one()

    met, kept = await world.gateway.database.read(unit)
    read = run.read_authority + run.read_mirror - 2 * settled
    assert settled > 20
    assert kept in (0, read)  # swept away already, or still there
    assert met <= read
