"""B6. Two exports of a million invoices each, reconciled to the cent and to a bridge, against tools for tables.

The exports lie there as CSV; each side begins with its files and ends with what parts. Planted are a cent in one of ten
thousand invoices and, as often, an invoice that only one side has. The peers compare two tables: they know no business
key, no policies, no waivers, no bridge and no journal, and keep nothing. The ratio is that of datacompy, which begins
with the files as well; reladiff is given tables.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import msgspec

from tests.benchmarks.durable_write import postgresql
from tests.benchmarks.programs import REGION, Broken, Erps, Gateway, Program, wait_until
from tests.benchmarks.scale import Scale
from tests.benchmarks.table import Bound, Report
from tests.systems.rules import staged

#: One invoice in so many has a cent more in the mirror, one is missing there, and one is there alone.
ODD = 10_000
DEADLINE_S = 7_200.0
COLUMNS = ("key", "number", "company", "state", "currency", "issued", "due", "net", "tax", "total")
MAP = """
kind = "csv"
origin = "this benchmark"
[values.states]
posted = "posted"
paid = "paid"
[entities.invoice]
file = "invoices.csv"
key = "key"
[entities.invoice.fields]
number = "number"
legal_entity = "company"
currency = "currency"
state = { path = "state", values = "states" }
issue_date = "issued"
due_date = "due"
net_total = { amount = "net", currency = "currency" }
tax_total = { amount = "tax", currency = "currency" }
total = { amount = "total", currency = "currency" }
"""


class Exports(msgspec.Struct, frozen=True, kw_only=True):
    """The files of both sides, and what was planted in them."""

    folders: Mapping[str, Path]
    cents: int
    missing: int
    extra: int


def rows(side: str, invoices: int) -> Iterator[tuple[str, ...]]:
    """The invoices of a side. Each is made of its number alone, and the sides number them each in a way of its own."""
    for n in range(invoices):
        if (side == "cloud" and n % ODD == 7) or (side == "legacy" and n % ODD == 11):
            continue
        net = 10_000 + (n * 7919) % 9_000_000
        tax = net * 19 // 100
        total = net + tax + (side == "cloud" and n % ODD == 3)
        yield (
            f"{'L' if side == 'legacy' else 'C'}{n:09d}",
            f"R{n:09d}",
            "DE01",
            "paid" if n % 3 else "posted",
            "EUR",
            f"2026-{1 + n % 9:02d}-{1 + n % 28:02d}",
            f"2026-{2 + n % 9:02d}-{1 + n % 28:02d}",
            f"{net // 100}.{net % 100:02d}",
            f"{tax // 100}.{tax % 100:02d}",
            f"{total // 100}.{total % 100:02d}",
        )


def exported(folder: Path, invoices: int) -> Exports:
    folders: dict[str, Path] = {}
    for side in ("legacy", "cloud"):
        folders[side] = folder / side
        folders[side].mkdir()
        with (folders[side] / "invoices.csv").open("w", encoding="utf-8") as file:
            file.write(",".join(COLUMNS) + "\n")
            file.writelines(",".join(row) + "\n" for row in rows(side, invoices))
    cents, missing, extra = (len(range(place, invoices, ODD)) for place in (3, 7, 11))
    return Exports(folders=folders, cents=cents, missing=missing, extra=extra)


def sourced(folder: Path, exports: Exports) -> dict[str, str]:
    """The settings that declare both exports."""
    file = folder / "map.toml"
    file.write_text(MAP, "utf-8")
    settings = {"rules": str(staged(folder))}  # what has no mirror cannot be reconciled
    for side, there in exports.folders.items():
        settings |= {
            f"sources__{side}_export__{name}": value
            for name, value in (("system", side), ("map", str(file)), ("address", str(there)), ("window_s", "0"))
        }
    return settings


def reconciled(gateway: Gateway, exports: Exports) -> float:
    """Seconds of a run. Raises Broken where it did not find exactly what was planted."""
    wish = {
        "entity": "invoice",
        "region": REGION,
        "reason": "benchmark",
        "sources": [f"{side}_export" for side in exports.folders],
    }
    began = time.monotonic()
    asked = gateway.http.post("/admin/v1/reconciliations", json=wish).raise_for_status().json()

    def ended() -> bool:
        return gateway.get(f"/admin/v1/reconciliations/{asked['id']}")["state"] != "running"

    seconds = wait_until(ended, "the run ends", deadline_s=DEADLINE_S, every_s=0.2) - began
    run = gateway.get(f"/admin/v1/reconciliations/{asked['id']}")
    if run["state"] != "done":
        raise Broken(f"the run is {run['state']}: {run}")
    planted = exports.cents + exports.missing + exports.extra
    found = run["report"]["terms"]
    (total,) = (line for line in run["report"]["bridge"] if line["measure"] == "total")
    if found["unexplained"] != planted or Decimal(total["residual"]):
        raise Broken(f"{planted} invoices part, the run says {found} and {total}")
    return seconds


def run(scale: Scale) -> Report:
    with tempfile.TemporaryDirectory(prefix="twinrun-benchmark-") as name, Erps(folder := Path(name)) as erps:
        exports = exported(folder, scale.invoices)
        settings = {**scale.settings, **sourced(folder, exports)}
        with postgresql() as url, Gateway(folder, erps, url, settings=settings) as gateway:
            cpu = gateway.program.cpu_s
            seconds = reconciled(gateway, exports)
            cpu = gateway.program.cpu_s - cpu
            again = reconciled(gateway, exports)
            memory = gateway.program.memory_mib("VmHWM")
        files = tuple(str(there / "invoices.csv") for there in exports.folders.values())
        with Program("tests.benchmarks.peers.tables", files, folder=folder) as peer:
            theirs = peer.ready().told
        with postgresql() as url, Program("tests.benchmarks.peers.database", (url, *files), folder=folder) as peer:
            others = peer.ready().told
    return Report(
        name="B6",
        title=f"{scale.invoices:,} × 2 invoices in files, reconciled to a bridge, against datacompy; most memory",
        bounds=(
            Bound(unit="×", value=theirs["seconds"] / seconds, gate=3, aim=10),
            Bound(unit=" MiB", value=memory, gate=2048, aim=1024, at_most=True),
        ),
        remarks=(
            (
                f"One `twinrun serve` on PostgreSQL: {seconds:,.1f} s and {cpu:,.1f} s of its CPU from the request to "
                f"the report, {again:,.1f} s a second time; {exports.cents} cents, {exports.missing} missing and "
                f"{exports.extra} extra invoices found, and nothing else."
            ),
            f"datacompy: {theirs['seconds']:,.1f} s and {theirs['memory_mib']:,.0f} MiB: {theirs['found']}.",
            (
                f"reladiff, in a PostgreSQL that has both as tables with a key already: {others['seconds']:,.1f} s, "
                f"and {others['loading']:,.1f} s to load them: {others['found']}."
            ),
        ),
    )
