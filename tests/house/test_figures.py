"""The README's figures are the record's, and no row hides where it comes from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tests.benchmarks.table import Bound, Report
from tests.figures.__main__ import README, counted, load
from tests.figures.origin import Origin, origin
from tests.figures.record import LAWS, NUMBERS, Misread, Record, Run, kept, taken
from tests.figures.render import NOT_PROMISED, NOT_RUN, PROOFS, section, written
from tests.integration.backfill import campaign as backfill
from tests.integration.lag import campaign as lag
from tests.integration.switches import campaign as switches

MADE = Origin(
    commit="0123456789ab", date="2026-11-26T12:00:00+00:00", machine="2 cores, load 1.0", seeds="5 to 9"
)


#: The proofs of the table, and all benchmarks as one.
ALL = (*PROOFS, "benchmarks")


def _report(name: str, value: float) -> Report:
    return Report(name=name, title="writes", bounds=(Bound(unit="/s", value=value, gate=250, aim=600),))


def _run(proof: str) -> Run:
    if proof == "benchmarks":
        return Run(origin=MADE, numbers={}, reports=(_report("B4", 100),))
    names = NUMBERS.get(proof, ("tests", "passed"))
    return Run(origin=MADE, numbers={name: float(place) for place, name in enumerate(names, 2)})


def _row(proof: str, record: Record) -> str:
    titles = {PROOFS[proof][0]} if proof in PROOFS else {"benchmarks", "benchmark B4"}
    lines = section(record).splitlines()
    (row,) = [line for line in lines if any(line.startswith(f"| {title} |") for title in titles)]
    return row


def test_the_section_is_what_the_record_says() -> None:
    """Nobody typed a figure: the README is unchanged when its section is made anew."""
    text = README.read_text("utf-8")
    assert written(text, load()) == text, "python -m tests.figures writes it anew"


def test_the_record_has_only_known_proofs_with_their_whole_origin() -> None:
    """Each run says commit, date, machine and seeds, and its proof is one that the README shows."""
    record = load()
    assert set(record.runs) <= set(PROOFS)
    runs = {**record.runs, **record.benchmarks}
    assert [
        (proof, field)
        for proof, run in runs.items()
        for field, value in msgspec.structs.asdict(run.origin).items()
        if not value
    ] == []


@pytest.mark.parametrize("proof", ALL)
def test_a_row_says_where_it_comes_from(proof: str) -> None:
    """Date, commit, seeds and machine stand in the row of each proof that was run."""
    row = _row(proof, Record().with_run(proof, _run(proof)))
    assert all(part in row for part in (MADE.date[:10], MADE.commit, MADE.seeds, MADE.machine))
    assert NOT_RUN not in row


@pytest.mark.parametrize("proof", ALL)
def test_what_was_not_run_says_so(proof: str) -> None:
    """A proof without a run has no number in its row."""
    assert _row(proof, Record()).endswith(f"| {NOT_RUN} | – |")


@pytest.mark.parametrize("proof", [proof for proof, names in NUMBERS.items() if set(LAWS) <= set(names)])
def test_a_broken_law_is_shown(proof: str) -> None:
    """Writes lost or doubled, and every other breach, stand in the row as the run counted them."""
    run = _run(proof)
    other = "other" if proof == "simulation" else "other_breaches"
    bad = {**run.numbers, **dict.fromkeys(LAWS, 41.0), other: 43.0}
    row = _row(proof, Record().with_run(proof, msgspec.structs.replace(run, numbers=bad)))
    assert all(f"41 {law}" in row for law in LAWS)
    assert "43 other" in row


def test_a_missed_gate_is_shown() -> None:
    """A benchmark below its gate does not look like one that reached it."""
    assert "100/s (gate missed)" in _row("benchmarks", Record().with_run("benchmarks", _run("benchmarks")))


def test_a_benchmark_keeps_its_figure_until_it_is_run_again() -> None:
    """Each stands with the run that it was in: the others of a later run change nothing about it."""
    earlier = Record().with_run("benchmarks", _run("benchmarks"))
    other = Run(
        origin=msgspec.structs.replace(MADE, commit="fedcba987654"), numbers={}, reports=(_report("B8", 300),)
    )
    both = earlier.with_run("benchmarks", other)
    assert _row("benchmarks", both) == _row("benchmarks", earlier)
    assert "fedcba987654" in section(both)
    again = both.with_run("benchmarks", msgspec.structs.replace(other, reports=(_report("B4", 700),)))
    assert "700/s" in _row("benchmarks", again)
    assert "100/s" not in section(again)


def test_what_is_not_promised_stands_beside_the_figures() -> None:
    """Whoever reads the table reads its limits."""
    assert NOT_PROMISED in section(Record())


@pytest.mark.parametrize("lacking", [*NUMBERS["kill"], "commit", "date", "machine", "seed", "campaigns"])
def test_a_file_that_lacks_something_is_refused(lacking: str) -> None:
    """A number or an origin that is not in a proof's file is never filled in."""
    told = dict.fromkeys(NUMBERS["kill"], 1) | {
        "commit": "ab", "date": "2026-11-26", "machine": "m", "seed": 7, "campaigns": 3,
    }  # fmt: skip
    assert taken("kill", msgspec.json.encode(told)).origin.seeds == "7 to 9"
    del told[lacking]
    with pytest.raises(Misread, match=lacking):
        taken("kill", msgspec.json.encode(told))


FOUND = {
    "lag": lag.Found(
        writes=9, reads=8, compares=700, verdicts={}, uncompared={}, lagging_reads=70, false=[{"id": "one"}],
        planted={"value": 3, "missing": 1}, missed=["two"], report_s=[4.0, 2.0, 3.0], seconds=60.0,
    ),
    "switches": switches.Found(
        moves=[switches.Move(switch="swi_1", kind="switch", point="CP17", resumed_s=1.0)], aborted=[], elsewhere=0,
        deaths=Counter(CP17=1, random=1), writes=50, repeats=1, held=3, longest_hold_s=2.5, longest_fence_s=2.0,
        epochs=2, lost=1, doubled=2, two_authorities=3, breaches=["C1"] + ["C2"] * 2 + ["C7"] * 3 + ["C9"],
        unexpected=["ended"], seconds=60.0,
    ),
    "backfill": backfill.Found(
        time_entries=20, invoices=15, by_hand=2, live_writes=Counter(creates=3, changes=4),
        kills=[backfill.Kill(read=1, total=20, resumed_after_s=1.0)], runs={"invoice": {"complete": False}},
        duplicates=["one"], overwritten=["two", "three"], missing=[], seconds=60.0, per_s=12.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("proof", "said"),
    [
        ("lag", "700 comparisons|70 reads|1 false|3 of 4 planted|p50 3 s, at most 4 s"),
        ("switches", "1 switches|50 writes|2 processes|1 lost, 2 doubled, 3 epochs|2 other breaches|hold 2.5 s"),
        ("backfill", "20 time entries and 15 invoices|7 live|1 times|2 overwritten, 1 doubled, 0 left out|1 runs not"),
    ],
)
def test_what_a_campaign_found_is_what_its_row_says(proof: str, said: str, tmp_path: Path) -> None:
    """Its file has all that it found, and each breach is counted in the row."""
    found, file = FOUND[proof], tmp_path / "found.json"
    kept(file, MADE, found.numbers(), found)
    run = taken(proof, file.read_bytes())
    assert run.origin == MADE
    row = _row(proof, Record().with_run(proof, run))
    assert [part for part in said.split("|") if part not in row] == [], row


def test_benchmarks_without_a_figure_are_refused() -> None:
    """A run in which everything broke off is not an empty row."""
    with pytest.raises(Misread, match="none"):
        taken("benchmarks", msgspec.json.encode({"origin": MADE, "reports": []}))


def test_a_run_survives_the_record() -> None:
    """What is written is what is read."""
    record = Record()
    for proof in ALL:
        record = record.with_run(proof, _run(proof))
    assert msgspec.json.decode(msgspec.json.encode(record), type=Record) == record


def test_only_a_passed_test_counts() -> None:
    """Failed, broken and skipped tests are tests that have not passed."""
    ends = ("", "<failure/>", "<error/>", "<skipped/>", "")
    cases = "".join(f"<testcase>{end}</testcase>" for end in ends)
    assert counted(f"<testsuites><testsuite>{cases}</testsuite></testsuites>") == {"tests": 5, "passed": 2}


def test_an_origin_is_of_this_checkout() -> None:
    """Commit and moment are read, not told."""
    found = origin("none")
    assert len(found.commit.rstrip("+")) == 12
    assert found.date.endswith("+00:00")
