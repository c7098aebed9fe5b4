"""Runs of which one side is an export of the legacy ERP or a query of its database, over a loaded firm."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, make_url, select, text, update
from sqlalchemy.ext.asyncio import create_async_engine

from adapters.contract import Query
from gateway.app import Gateway
from gateway.cli.commands import run as command
from gateway.errors import Invalid
from gateway.ledger.tables import record
from gateway.reconcile import Run, Term, Verdict, store
from gateway.reconcile.sources.map import SourceMap, parse
from gateway.reconcile.tables import reconcile_run
from gateway.settings import Settings, SourceSettings
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import World
from tests.integration.pressure.conftest import settings_of
from tests.integration.reconcile.planted import MIRROR, followed, gate
from tests.integration.reconcile.test_runs import ENTITY, REGION, ROOT, environment, lasting
from tests.systems.sandbox import Sandbox
from tests.unit.reconcile.sourced import HEADS, exported, into_sqlite, natives

FIELDS = """
key = "spesennr"
[entities.expense.fields]
receipt_ref  = "beleg"
legal_entity = "buchungskreis"
state        = { path = "status", values = { E = "draft", V = "submitted", F = "approved", B = "posted", R = "invoiced", Z = "rejected", A = "reimbursed" } }
resource_id  = { path = "person", ref = "resource" }
project_id   = { path = "projekt", ref = "project" }
date         = "datum"
category     = "kategorie"
amount       = { amount = "betrag", currency = "waehrung" }
tax_amount   = { amount = "steuer", currency = "/waehrung" }
billable     = { path = "abrechenbar", convert = "FLAG" }
reimbursable = { path = "erstattbar", convert = "FLAG" }
note         = "notiz"
merchant     = "haendler"
"""  # noqa: E501
#: kind -> its map. On PostgreSQL dates, amounts and flags have types; where it is slow each page takes its time.
MAPS = {
    "csv": HEADS["csv as in Germany"] + FIELDS.replace("FLAG", "j_n"),
    "json_lines": HEADS["json_lines"] + FIELDS.replace("FLAG", "boolean"),
    "sqlite": HEADS["sql"] + FIELDS.replace("FLAG", "bool_int"),
    "postgresql": HEADS["sql"] + FIELDS.replace("FLAG", "boolean"),
    "slow": HEADS["sql"].replace("spesen;", "spesen WHERE (SELECT pg_sleep(0.2)) IS NOT NULL")
    + FIELDS.replace("FLAG", "boolean"),
}
NAME = "extract"
Record = tuple[str, dict[str, Any]]


@pytest.fixture
def erps(tmp_path: Path) -> Iterator[Sandbox]:
    """A firm with some hundred expenses in the region, the same in both ERPs but for their declared losses."""
    run = Sandbox(tmp_path, scale="1")
    try:
        yield run
    finally:
        run.stop()


def sourced(settings: Settings, folder: Path, kind: str, address: str | None = None) -> Settings:
    """The settings with a source of the kind."""
    path = folder / f"{kind}.toml"
    path.write_text(MAPS[kind], "utf-8")
    here = f"sqlite:///{folder / 'erp.db'}" if kind == "sqlite" else str(folder)
    source = SourceSettings(system="legacy", map=str(path), address=address or here, window_s=0.0)
    return msgspec.structs.replace(settings, sources={NAME: source})


class Export:
    """What the legacy ERP holds, as its source shows it."""

    def __init__(self, kind: str, folder: Path, address: str) -> None:
        self._kind = kind
        self._folder = folder
        self._address = address
        self._found: SourceMap = parse(MAPS[kind], file=kind)

    async def holds(self, gateway: Gateway) -> list[Record]:
        """The whole set of the ERP, all companies."""
        records: list[Record] = []
        cursor: str | None = None
        while not records or cursor is not None:
            page = await gateway.adapters["legacy"].search(ENTITY, Query(limit=200, cursor=cursor))
            records += [(one.native_id, dict(one.fields)) for one in page.items]
            cursor = page.next_cursor
        return records

    async def write(self, records: list[Record]) -> None:
        rows = natives(self._found, records)
        if self._kind == "sqlite":
            into_sqlite(self._folder / "erp.db", rows, list(rows[0]))
        elif self._kind in ("postgresql", "slow"):
            await self._into_postgresql(rows)
        else:
            name = self._found.entities[ENTITY].file
            assert name is not None
            (self._folder / name).write_bytes(exported(self._found, rows))

    async def _into_postgresql(self, rows: list[dict[str, Any]]) -> None:
        types = {"betrag": "numeric(14,2)", "steuer": "numeric(14,2)", "datum": "date"} | dict.fromkeys(
            ("abrechenbar", "erstattbar"), "boolean"
        )
        columns = list(rows[0])
        for row in rows:
            row["datum"] = None if row["datum"] is None else date.fromisoformat(row["datum"])
            for name in ("betrag", "steuer"):
                row[name] = None if row.get(name) is None else Decimal(row[name])
        engine = create_async_engine(make_url(self._address).set(drivername="postgresql+asyncpg"))
        async with engine.begin() as connection:
            await connection.execute(text("DROP TABLE IF EXISTS spesen"))
            made = ", ".join(f"{name} {types.get(name, 'text')}" for name in columns)
            await connection.execute(text(f"CREATE TABLE spesen ({made}, PRIMARY KEY (spesennr))"))
            holders = ", ".join(f":{name}" for name in columns)
            await connection.execute(text(f"INSERT INTO spesen VALUES ({holders})"), rows)
        await engine.dispose()


async def reconciled(world: World, *sources: str, state: str = "done") -> Run:
    run = await world.gateway.reconciler.start(ENTITY, REGION, actor="tests", sources=sources)
    return await followed(world, run, state)


@pytest.fixture(params=["csv", "json_lines", "sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def address(kind: str, request: pytest.FixtureRequest) -> str | None:
    """Where the database of the source is, if it is on a server."""
    return request.getfixturevalue("postgres_journal") if kind == "postgresql" else None


async def test_a_source_says_what_the_adapter_says(
    sqlite_journal: str, rules: Path, erps: Sandbox, tmp_path: Path, kind: str, address: str | None
) -> None:
    """The same report to the last figure as of two adapters; a cent in one row of the source, and it is found, with its
    record, and nothing else."""
    settings = sourced(settings_of(sqlite_journal, rules, erps), tmp_path, kind, address)
    export = Export(kind, tmp_path, address or "")
    async with opened(settings, erps) as world:
        by_adapters = await reconciled(world)
        assert by_adapters.verdict is Verdict.PASS
        records = await export.holds(world.gateway)
        await export.write(records)
        before = world.requests("legacy", f"{ENTITY}.search")
        by_source = await reconciled(world, NAME)
        assert lasting(by_source.report) == lasting(by_adapters.report)
        assert (by_source.verdict, by_source.skipped) == (Verdict.PASS, 0)
        assert by_source.sources["authority"].name == NAME
        assert by_source.unreadable == ()
        assert world.requests("legacy", f"{ENTITY}.search") == before, "the system is not asked"
        again = await reconciled(world, NAME)
        assert (again.skipped, lasting(again.report)) == (again.ranges, lasting(by_adapters.report))

        page = (await world.get(f"/v1/expenses?region={REGION}&limit=1")).json()["items"][0]
        native, currency = page["external_refs"]["legacy"], page["amount"]["currency"]
        wrong = [(key, dict(fields)) for key, fields in records]
        fields = next(fields for key, fields in wrong if key == native)
        fields["amount"] = {"amount": str(Decimal(page["amount"]["amount"]) + Decimal("0.01")), "currency": currency}
        await export.write(wrong)
        parted = await reconciled(world, NAME)
        assert parted.report is not None
        assert (parted.verdict, parted.skipped) == (Verdict.FAIL, parted.ranges - 1)
        (line,) = (
            one for one in parted.report.bridge if (one.measure, one.currency) == ("amount", currency)
        )
        assert (line.terms[Term.UNEXPLAINED], line.residual) == (Decimal("0.01"), 0)
        assert parted.report.terms == {term: int(term is Term.UNEXPLAINED) for term in Term}
        (found,) = await world.gateway.reconciler.records(parted.id)
        assert found.record_id == page["id"]
        assert found.why == f"parts from {NAME}, which is read once, when the other side is read again"


FEW = """
kind = "csv"
origin = "this test"
[entities.customer]
file = "kunden.csv"
key = "KundenNr"
[entities.customer.fields]
number = "Nummer"
legal_entity = "Buchungskreis"
email = "Mail"
"""


async def test_a_source_of_few_columns_is_no_document(
    journal: str, rules: Path, erps: Sandbox, tmp_path: Path
) -> None:
    """Its columns are compared, and no other; a record that was first seen in it is paired by its number, and the rest
    of it is asked of its system when somebody changes it."""
    (tmp_path / "few.toml").write_text(FEW, "utf-8")
    few = SourceSettings(system="legacy", map=str(tmp_path / "few.toml"), address=str(tmp_path), window_s=0.0)
    settings = msgspec.structs.replace(settings_of(journal, rules, erps), sources={NAME: few})
    async with opened(settings, erps) as world:
        legacy = world.gateway.adapters["legacy"]
        page = await legacy.search("customer", Query(limit=200))
        lines = ["KundenNr,Nummer,Buchungskreis,Mail"]
        while True:
            for one in page.items:
                cells = (one.native_id, *(one.fields[name] or "" for name in ("number", "legal_entity", "email")))
                lines.append(",".join(cells))
            if page.next_cursor is None:
                break
            page = await legacy.search("customer", Query(limit=200, cursor=page.next_cursor))
        (tmp_path / "kunden.csv").write_text("\n".join(lines), "utf-8")
        run = await followed(
            world, await world.gateway.reconciler.start("customer", REGION, actor="tests", sources=[NAME])
        )
        assert run.report is not None
        parted = await world.gateway.reconciler.records(run.id)
        assert (run.verdict, list(parted)) == (Verdict.PASS, [])
        assert run.report.records["authority"] == run.report.records["mirror"] > 10

        def images(connection: Connection) -> dict[str, str | None]:
            rows = connection.execute(
                select(record.c.id, record.c.image).where(record.c.entity == "customer", record.c.region == REGION)
            )
            return {row.id: row.image for row in rows}

        # What others refer to was asked of its system.
        kept = await world.gateway.database.read(images)
        whole = {"number", "email", "name", "currency", "state"}
        assert all(whole <= json.loads(image).keys() for image in kept.values() if image is not None)
        one = next(record_id for record_id, image in kept.items() if image is None)
        answer = await world.patch("customers", one, {"phone": "+49 30 1"}, key="few-columns")
        assert answer.status_code == 200, answer.text
        image = (await world.gateway.database.read(images))[one]
        assert image is not None
        assert {*whole, "phone"} <= json.loads(image).keys()


async def test_what_is_written_after_the_export_is_late(
    journal: str, rules: Path, erps: Sandbox, tmp_path: Path
) -> None:
    """An export cannot hold it, so it is not called wrong; an edit that Twinrun knows nothing of is."""
    settings = sourced(settings_of(journal, rules, erps), tmp_path, "csv")
    export = Export("csv", tmp_path, "")
    async with opened(settings, erps) as world:
        assert (await reconciled(world)).verdict is Verdict.PASS
        await export.write(await export.holds(world.gateway))
        items = (await world.get(f"/v1/expenses?region={REGION}&state=draft&limit=2")).json()["items"]
        changed, edited = items
        answer = await world.patch("expenses", changed["id"], {"note": "seen by the auditors"}, key="after-the-export")
        assert answer.status_code == 200, answer.text
        await world.quiet()
        native = edited["external_refs"][MIRROR]
        world.sandbox.edit(MIRROR, ENTITY, native, {"Amount": str(Decimal(edited["amount"]["amount"]) + 1)})
        run = await reconciled(world, NAME)
        assert run.report is not None
        assert run.verdict is Verdict.FAIL
        found = {one.record_id: (one.term, one.why) for one in await world.gateway.reconciler.records(run.id)}
        assert found[changed["id"]] == (Term.LATE, f"written since {NAME} was made")
        assert found[edited["id"]][0] is Term.UNEXPLAINED
        assert len(found) == 2
        assert all(line.residual == 0 for line in run.report.bridge)


async def test_rows_that_cannot_be_read_are_told_over_http_and_on_the_command_line(
    journal: str,
    rules: Path,
    erps: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each with its line, field and reason, and counted; what they would have said is missing from that side, a row of
    a key that was there before adds nothing, and with such rows nothing passes. A caller names sources of the settings
    and nothing else."""
    settings = sourced(settings_of(journal, rules, erps), tmp_path, "csv")
    export = Export("csv", tmp_path, "")
    async with opened(settings, erps) as world:
        assert (await reconciled(world)).verdict is Verdict.PASS
        await export.write(await export.holds(world.gateway))
        path = tmp_path / "spesen.csv"
        lines = path.read_bytes().split(b"\r\n")
        ours = [one for one in range(1, len(lines)) if b";DE01;" in lines[one]]
        lines[-1] = lines[ours[0]]
        path.write_bytes(b"\r\n".join([*lines, b"half a row"]))
        wish = {"entity": ENTITY, "region": REGION, "sources": [NAME]}
        begun = await world.client.post("/admin/v1/reconciliations", json=wish)
        assert begun.status_code == 202, begun.text
        assert begun.json()["sources"]["authority"] == {"name": NAME, "made_at": None, "unreadable": 0}

        async def over() -> Any:
            told = (await world.get(begun.headers["location"])).json()
            return told if told["state"] != "running" else None

        told = await world.until(over, "it has ended")
        assert (told["state"], told["verdict"], told["report"]["parted"]) == ("done", "inconclusive", 0)
        assert told["sources"]["authority"]["unreadable"] == told["report"]["unreadable"]["authority"] == 2
        assert [(one["line"], one["field"], one["reason"]) for one in told["unreadable"]] == [
            (len(lines) + 1, None, "has 1 cells for 15 columns"),
            (len(lines), None, "has the key of a row before it"),
        ]
        assert await gate(world, ENTITY, REGION) == "inconclusive"

        amount = lines[ours[1]].split(b";")
        lines[ours[1]] = lines[ours[1]].replace(b";EUR;", b";;").replace(b";CHF;", b";;")
        assert lines[ours[1]].split(b";") != amount
        path.write_bytes(b"\r\n".join(lines[:-1]))
        for name, value in environment(settings).items():
            monkeypatch.setenv(name, value)
        for key in ("system", "map", "address", "window_s"):
            monkeypatch.setenv(f"TWINRUN_SOURCES__EXTRACT__{key.upper()}", str(getattr(settings.sources[NAME], key)))
        monkeypatch.chdir(tmp_path)

        async def twinrun(*arguments: str) -> tuple[int, str]:
            code = await asyncio.to_thread(command, ["reconcile", *arguments])
            return code, capsys.readouterr().out

        code, said = await twinrun("--entity", ENTITY, "--region", REGION, "--source", NAME, "--json")
        mine = json.loads(said)
        assert (code, mine["report"]["extra"]) == (1, 1)
        assert [(one["line"], one["field"]) for one in mine["unreadable"]] == [(ours[1] + 1, "amount")]
        code, said = await twinrun("--run", mine["id"])
        assert code == 1
        assert f"the authority was read from source {NAME}" in said
        assert "is an amount without its currency" in said
        code, said = await twinrun("--region", REGION, "--source", NAME, "--json")
        assert (code, json.loads(said)["entity"]) == (1, ENTITY), "of all slices only those that it has records of"
        assert (await twinrun("--region", REGION, "--source", "another"))[0] == 2
        assert (await twinrun("--run", mine["id"], "--source", NAME))[0] == 2
        assert (await twinrun("--entity", "invoice", "--region", REGION, "--source", NAME))[0] == 2

        for names in (["/etc/passwd"], ["sqlite:///erp.db"], [NAME, NAME]):
            refused = await world.client.post("/admin/v1/reconciliations", json={**wish, "sources": names})
            assert refused.status_code == 422, refused.text
            pointer = f"/sources/{len(names) - 1}"
            assert [one["pointer"] for one in refused.json()["errors"]] == [pointer]
        with pytest.raises(Invalid, match="has no invoices"):
            await world.gateway.reconciler.start("invoice", REGION, actor="tests", sources=[NAME])


async def test_a_source_that_is_not_there_ends_the_run(
    sqlite_journal: str, rules: Path, erps: Sandbox, tmp_path: Path
) -> None:
    """At once where its file is missing; where its database does not answer, after it was tried again: each time with
    its name and the reason, and without a figure."""
    settings = sourced(settings_of(sqlite_journal, rules, erps), tmp_path, "csv")
    async with opened(settings, erps) as world:
        run = await reconciled(world, NAME, state="failed")
        assert run.note == f"source {NAME}: spesen.csv cannot be read: No such file or directory"
        assert (run.verdict, run.report) == (None, None)
    nowhere = "postgresql://postgres:hidden@127.0.0.1:1/books"
    async with opened(sourced(settings, tmp_path, "postgresql", nowhere), erps) as world:
        run = await world.gateway.reconciler.start(ENTITY, REGION, actor="tests", sources=[NAME])

        async def waits() -> Run | None:
            now = await world.gateway.reconciler.get(run.id)
            return now if now.note is not None else None

        waiting = await world.until(waits, "the run says what it waits for")
        assert waiting.note is not None
        assert (waiting.state, waiting.note.partition(": its")[0]) == ("running", f"source {NAME}: Unavailable")
        await world.gateway.database.transaction(
            lambda conn: conn.execute(update(reconcile_run).values(failures=4, next_at=0))
        )
        failed = await followed(world, run, "failed")
        assert failed.note is not None
        assert failed.note.startswith(f"source {NAME}: its database does not answer: ")
        assert "hidden" not in failed.note


@pytest.mark.server
async def test_killed_while_it_reads_a_query(
    postgres_journal: str, rules: Path, erps: Sandbox, tmp_path: Path
) -> None:
    """kill -9 between two pages: whoever comes next goes on behind the last key that was kept, counts nothing twice,
    and comes to the same report as a run that nobody killed."""
    settings = sourced(settings_of(postgres_journal, rules, erps), tmp_path, "slow", postgres_journal)
    export = Export("slow", tmp_path, postgres_journal)
    log = tmp_path / "killed.log"
    declared = msgspec.structs.asdict(settings.sources[NAME])
    given = {f"TWINRUN_SOURCES__EXTRACT__{key.upper()}": str(value) for key, value in declared.items()}
    async with opened(settings, erps, worker=False) as world:
        await export.write(await export.holds(world.gateway))
        arguments = ["-m", "gateway.cli", "reconcile", "--entity", ENTITY, "--region", REGION, "--source", NAME]
        with log.open("w") as said:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                cwd=tmp_path,
                env={**os.environ, **environment(settings), **given, "PYTHONPATH": str(ROOT)},
                stdout=said,
                stderr=said,
            )
        try:

            async def under_way() -> Run | None:
                assert process.returncode is None, log.read_text()
                found = await world.gateway.reconciler.list(state="running")
                return next((one for one in found if one.read_authority), None)

            begun = await world.until(under_way, "a page is read")
        finally:
            process.kill()
            await process.wait()
        killed = await world.gateway.reconciler.get(begun.id)
        assert (killed.state, killed.phase) == ("running", "authority")

        async def seen_through(run: Run) -> Run:
            async def over() -> Run | None:
                await world.gateway.reconciler.run_once()
                now = await world.gateway.reconciler.get(run.id)
                return now if now.state == "done" else None

            return await world.until(over, f"{run.id} is seen through")

        run = await seen_through(killed)
        whole = await seen_through(
            await world.gateway.reconciler.start(ENTITY, REGION, actor="tests", sources=[NAME])
        )
        assert lasting(run.report) == lasting(whole.report)
        assert (run.verdict, run.read_authority, run.unreadable) == (Verdict.PASS, whole.read_authority, ())
        assert run.read_authority > killed.read_authority > 0


async def test_an_export_that_is_exchanged_while_it_is_read_ends_the_run(
    sqlite_journal: str, rules: Path, erps: Sandbox, tmp_path: Path
) -> None:
    """Two exports are not one set: a run that is taken up again over another file says so, and over the same one goes
    on."""
    settings = sourced(settings_of(sqlite_journal, rules, erps), tmp_path, "csv")
    export = Export("csv", tmp_path, "")
    async with opened(settings, erps, worker=False) as world:
        await export.write(await export.holds(world.gateway))
        reconciler = world.gateway.reconciler

        async def one_page() -> Run:
            """A run whose holder has died behind its first page."""
            begun = await reconciler.start(ENTITY, REGION, actor="tests", sources=[NAME])
            work = await world.gateway.database.transaction(
                lambda conn: store.claim(conn, now=world.gateway.database.now(conn), lease=60_000_000, only=begun.id)
            )
            assert work is not None
            assert await reconciler.steps.take(work) is not None
            await world.gateway.database.transaction(
                lambda conn: conn.execute(update(reconcile_run).values(lease_until=0))
            )
            return begun

        async def ended(run: Run) -> Run:
            async def over() -> Run | None:
                await reconciler.run_once(only=run.id)
                now = await reconciler.get(run.id)
                return now if now.state != "running" else None

            return await world.until(over, f"{run.id} has ended")

        same = await ended(await one_page())
        assert (same.state, same.verdict, same.unreadable) == ("done", Verdict.PASS, ())
        assert same.report is not None
        assert same.report.records["authority"] == same.read_authority
        begun = await one_page()
        await export.write(await export.holds(world.gateway))
        other = await ended(begun)
        assert other.state == "failed"
        assert other.note == (
            f"source {NAME}: spesen.csv has changed since reading it began: reconcile again with the new one"
        )
