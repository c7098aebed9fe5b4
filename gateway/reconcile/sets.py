"""What two exports hold in common, found for all of their records at once.

Two files of a million rows are read, paired and summed as columns in some seconds, where row by row it takes minutes.
Only rows of which all is *sure* are settled so: both read as the mapping reads them, they are the only ones of their
key and of their number in their files, the journal pairs them too or knows neither, and every field that both systems
hold is the same. Whatever else there is, is left to the rows, which judge it as ever. So this decides nothing but that
what is the same is the same; it counts and sums it, and a test holds its reports against those of the rows.

Not done here: of what is the same and in nobody's journal yet, no record is made. Who asks for it, or a backfill, links
it as before. A region with cohorts is read row by row, since a record's place in it follows from the records it names.

(Measured with 1,000,000 x 2 invoices of ten columns in CSV on two cores, from the request to the report: 3.8 s and
760 MiB; row by row 20,000 x 2 take 7.8 s, and 3.9 s once all of them are known.)

The column store is the extra ``bulk``; without it, and for files that it cannot take, rows are read one by one.
"""

from __future__ import annotations

import asyncio
import csv
import importlib.util
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Connection, and_, select

from gateway.compare.difference import Document
from gateway.compare.look import Eye
from gateway.crosswalk.tables import crosswalk
from gateway.database import Database
from gateway.dispatch.adoption import Adoption, without_nulls
from gateway.ledger.tables import record
from gateway.reconcile.left import Left
from gateway.reconcile.matching import Held, Matching
from gateway.reconcile.sources import Piece, Source, Unsuited
from gateway.reconcile.sources.columns import Columns
from gateway.reconcile.sources.files import Whole
from gateway.reconcile.store import Work
from gateway.reconcile.tally import SIDES, Side, Tally
from gateway.routing.cohort import plain
from gateway.routing.ruleset import Ruleset
from gateway.telemetry import Log

if TYPE_CHECKING:
    from gateway.reconcile.agreement import Agreement

#: Bytes of both files together from where on they are read as columns: some 5,000 rows. Below that rows take no longer,
#: and each of them has its record afterwards.
FROM_BYTES = 500_000
#: Records of the journal that are read at once.
PIECE = 10_000


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. ``left`` are the lines of each side's file that are to be read as rows."""

    tally: Tally
    left: Mapping[Side, Left]


class Sets:
    def __init__(
        self,
        *,
        sources: Mapping[str, Source],
        adoption: Adoption,
        ruleset: Ruleset,
        database: Database,
        log: Log,
        key: bytes,
        from_bytes: int = FROM_BYTES,
    ) -> None:
        self._sources = sources
        self._adoption = adoption
        self._ruleset = ruleset
        self._database = database
        self._log = log
        self._key = key
        self._from_bytes = from_bytes

    async def settled(self, work: Work, eye: Eye) -> Settled | None:
        """What both sources of a run hold in common; None: their files are to be read row by row. Raises Failed."""
        if len(work.sources) < len(SIDES) or importlib.util.find_spec("duckdb") is None:
            return None
        try:
            return await self._settled(work, eye)
        except Unsuited as why:
            self._log.info("the sources are read row by row", run=work.id, reason=str(why))
            return None

    async def _settled(self, work: Work, eye: Eye) -> Settled | None:
        from gateway.reconcile.agreement import Agreement  # of an extra

        entity = work.entity
        sources: dict[Side, Source] = {side: self._sources[use.name] for side, use in work.sources.items()}
        columns: dict[Side, Columns] = {side: one.columns(entity.name) for side, one in sources.items()}
        if work.region != plain(work.region) or self._ruleset.cohorts.of(work.region):
            raise Unsuited("the region has cohorts")
        files: dict[Side, Whole] = {side: await one.whole(entity.name) for side, one in sources.items()}
        if sum(one.size for one in files.values()) < self._from_bytes:
            return None
        shared = eye.shared(entity, work.authority, work.other)
        companies = [one.code for one in self._ruleset.region(work.region).legal_entities]
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twinrun-sets-")))
            agreement = Agreement(folder, entity=entity, columns=columns, shared=shared, companies=companies)
            stack.callback(agreement.close)
            owners: dict[Side, dict[int, Mapping[str, str]]] = {}
            for side, file in files.items():
                await asyncio.to_thread(agreement.load, side, file, columns[side].delimiter)
                owners[side] = await self._owners(agreement, side, sources[side].system, columns[side])
                await asyncio.to_thread(agreement.read, side, owners[side])
            journal = folder / "journal.csv"
            await self._put_journal(work, journal)
            await asyncio.to_thread(agreement.pair, journal)
            pairs = await asyncio.to_thread(agreement.samples)
            documents: dict[Side, dict[int, Document]] = {}
            for side in SIDES:
                lines = sorted({pair[side] for pair in pairs})
                piece = await sources[side].picked(
                    entity.name, files[side].cursor, lines, companies=companies, limit=len(lines)
                )
                documents[side] = _documents(piece, columns[side], owners[side])
                if len(documents[side]) < len(lines):
                    raise Unsuited("a row reads otherwise than its columns")
            not_compared = self._judged(
                work, eye, [{side: documents[side][line] for side, line in pair.items()} for pair in pairs]
            )
            tally = await asyncio.to_thread(agreement.tally, not_compared)
            left: dict[Side, Left] = {
                side: Left(cursor=files[side].cursor, lines=await asyncio.to_thread(agreement.left, side))
                for side in SIDES
            }
        for file in files.values():
            file.hold()
        return Settled(tally=tally, left=left)

    async def _put_journal(self, work: Work, path: Path) -> None:
        """Writes what is known of the entity."""
        after = ""
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            while True:
                rows = await self._database.read(lambda conn, after=after: _known(conn, work, after))
                writer.writerows((row[0], int(row[1]), *row[2:]) for row in rows)
                if len(rows) < PIECE:
                    return
                after = rows[-1][0]

    async def _owners(
        self, agreement: Agreement, side: Side, system: str, columns: Columns
    ) -> dict[int, Mapping[str, str]]:
        """What the references of a side name, by the number of the dictionary."""
        found: dict[int, Mapping[str, str]] = {}
        for number, one in enumerate(columns.dictionaries):
            if one.owner is not None:
                natives = await asyncio.to_thread(agreement.values, side, number)
                found[number] = await self._adoption.known(system, one.owner, natives)
        return found

    def _judged(self, work: Work, eye: Eye, pairs: Sequence[Mapping[str, Document]]) -> tuple[str, ...]:
        """The fields of these pairs that nobody compares. Raises Unsuited where one of them is not the same after all:
        then the columns are not to be trusted."""
        matching = Matching(
            entity=work.entity, authority=work.authority, other=work.other, eye=eye, waivers=(), now=0, key=self._key
        )
        for pair in pairs:
            matching.add("", {side: Held(document=document, read_at=0) for side, document in pair.items()})
        tally = matching.tally()
        if tally.equal != len(pairs):
            raise Unsuited("what is the same by its columns is not the same as a row")
        return tally.not_compared


def _known(connection: Connection, work: Work, after: str) -> Sequence[Any]:
    """The next records of the entity: id, whether the run may count it, legal entity, number, and its id in both
    systems."""
    sides = {side: crosswalk.alias(side) for side in SIDES}
    authority, mirror = sides["authority"].c, sides["mirror"].c
    known = record.outerjoin(
        sides["authority"], and_(authority.record_id == record.c.id, authority.system == work.authority)
    ).outerjoin(sides["mirror"], and_(mirror.record_id == record.c.id, mirror.system == work.other))
    return connection.execute(
        select(
            record.c.id,
            and_(
                record.c.region == work.region,
                record.c.merged_into.is_(None),
                authority.stands_for.is_(None),
                mirror.stands_for.is_(None),
            ).label("ours"),
            record.c.legal_entity,
            record.c.match_key,
            authority.native_id,
            mirror.native_id,
        )
        .select_from(known)
        .where(record.c.entity == work.entity.name, record.c.id > after)
        .order_by(record.c.id)
        .limit(PIECE)
    ).all()


def _documents(
    piece: Piece, columns: Columns, owners: Mapping[int, Mapping[str, str]]
) -> dict[int, Document]:
    """The canonical documents of some lines that were read as rows."""
    found: dict[int, Document] = {}
    for line, one in piece.found:
        document = without_nulls(one.fields)
        for name, number in columns.references.items():
            if name in document:
                document[name] = owners[number][document[name]]
        found[line] = document
    return found
