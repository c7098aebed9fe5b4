"""The record as the README shows it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.benchmarks.table import Reached, shown
from tests.figures.record import LAWS, Record, Run

BEGIN = "<!-- figures: made by `python -m tests.figures` from tests/figures/figures.json -->\n"
END = "<!-- /figures -->\n"
NOT_RUN = "not run"
NOT_PROMISED = (
    "Not promised: atomicity across two ERPs; order across different records; exactly-once with an ERP that knows no\n"
    "key, no search and no condition; protection from an ERP, or a proxy before it, that repeats a request by itself;\n"
    "zero data loss when PostgreSQL has asynchronous replicas only.\n"
)


def _laws(run: Run, other: str) -> str:
    return (
        ", ".join(f"{run.numbers[law]:,.0f} {law}" for law in LAWS)
        + f", {run.numbers[other]:,.0f} other breaches"
    )


def _simulation(run: Run) -> str:
    n = run.numbers
    return (
        f"{n['seeds']:,.0f} histories, {n['operations']:,.0f} writes, {n['faults']:,.0f} faults: {_laws(run, 'other')}"
        f"; {n['failed_seeds']:,.0f} seeds failed"
    )


def _kill(run: Run) -> str:
    n = run.numbers
    return (
        f"{n['kills']:,.0f} kills, {n['pauses']:,.0f} pauses, {n['database_kills']:,.0f} of PostgreSQL, "
        f"{n['redis_kills'] + n['redis_flushes']:,.0f} losses of Redis: {_laws(run, 'other_breaches')}; recovery "
        f"p50 {n['recovery_p50_s']:.1f} s, p99 {n['recovery_p99_s']:.1f} s"
    )


def _lag(run: Run) -> str:
    n = run.numbers
    return (
        f"{n['compares']:,.0f} comparisons under traffic, {n['lagging_reads']:,.0f} reads of systems up to 20 s old: "
        f"{n['false_mismatches']:,.0f} false mismatches; {n['found']:,.0f} of {n['differences']:,.0f} planted "
        f"differences found, p50 {n['report_p50_s']:.0f} s, at most {n['report_max_s']:.0f} s after the edit"
    )


def _switches(run: Run) -> str:
    n = run.numbers
    return (
        f"{n['switches']:,.0f} switches and rollbacks under {n['writes']:,.0f} writes, {n['deaths']:,.0f} processes "
        f"killed in them: {n['lost']:,.0f} lost, {n['doubled']:,.0f} doubled, {n['two_authorities']:,.0f} epochs with "
        f"two authorities, {n['broken']:,.0f} other breaches; longest hold {n['longest_hold_s']:.1f} s"
    )


def _backfill(run: Run) -> str:
    n = run.numbers
    return (
        f"{n['time_entries']:,.0f} time entries and {n['invoices']:,.0f} invoices beside {n['live']:,.0f} live writes, "
        f"worker killed {n['killed']:,.0f} times: {n['overwrites']:,.0f} overwritten, {n['doubles']:,.0f} doubled, "
        f"{n['left_out']:,.0f} left out, {n['incomplete']:,.0f} runs not complete; {n['per_s']:,.0f}/s"
    )


def _passed(run: Run) -> str:
    return f"{run.numbers['passed']:,.0f} of {run.numbers['tests']:,.0f}"


def _benchmark(run: Run) -> str:
    (report,) = run.reports
    found = ", ".join(
        shown(bound.value, bound.unit) + (" (gate missed)" if bound.reached is Reached.NEITHER else "")
        for bound in report.bounds
    )
    return f"{report.title}: {found}"


def _capacity(run: Run) -> str:
    n = run.numbers
    return (
        f"{n['gateway_us'] / 1e3:.1f} ms of a gateway's CPU and {n['postgresql_us'] / 1e3:.1f} ms of PostgreSQL's; "
        f"one process {n['measured_1']:,.0f}/s (predicted {n['predicted_1']:,.0f}), two {n['measured_2']:,.0f}/s "
        f"(predicted {n['predicted_2']:,.0f}); projected, no surer than that: ten gateways "
        f"{n['ten_gateways']:,.0f}/s, PostgreSQL on 8 "
        f"cores {n['postgresql_end']:,.0f}/s"
    )


#: proof -> what the README calls it, and how its numbers read.
PROOFS: Mapping[str, tuple[str, Callable[[Run], str]]] = {
    "simulation":    ("simulated histories of three replicas",        _simulation),
    "kill":          ("`kill -9` of real processes",                  _kill),
    "switches":      ("switches with a crash at each step",           _switches),
    "lag":           ("comparing under lag of 0 to 20 s",             _lag),
    "backfill":      ("backfill that races with callers",             _backfill),
    "planted_bugs":  ("planted bugs that the simulation finds",       _passed),
    "bad_histories": ("bad histories that the judge rejects, each by its law", _passed),
    "fuzz":          ("tests of the API with Schemathesis that pass", _passed),
    "capacity":      ("what a durable dual write costs, compared on both sides", _capacity),
}  # fmt: skip


def section(record: Record) -> str:
    """The table with its markers, and beside it what nobody promises."""
    lines = ["| proof | found | when, commit, seeds, machine |", "| --- | --- | --- |"]
    for proof, (title, reads) in PROOFS.items():
        run = record.runs.get(proof)
        lines.append(f"| {title} | {NOT_RUN} | – |" if run is None else _row(title, reads(run), run))
    if not record.benchmarks:
        lines.append(f"| benchmarks | {NOT_RUN} | – |")
    lines += [_row(f"benchmark {name}", _benchmark(run), run) for name, run in record.benchmarks.items()]
    return BEGIN + "\n" + "\n".join(lines) + "\n\n" + NOT_PROMISED + "\n" + END


def _row(title: str, found: str, run: Run) -> str:
    made = run.origin
    return f"| {title} | {found} | {made.date[:10]}, `{made.commit}`, seeds {made.seeds}, {made.machine} |"


def written(readme: str, record: Record) -> str:
    """The README with the section as the record has it. Raises ValueError if the markers are not there once each."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise ValueError(f"README.md: {BEGIN.strip()} and {END.strip()} have to stand there once each")
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + section(record) + after
