"""``python -m tests.figures [--simulation FILE] [--kill FILE] [--switches FILE] [--lag FILE] [--backfill FILE]
[--benchmarks FILE] [--capacity FILE] [--run PROOF …]``

Takes the files that the proofs wrote with their ``--json FILE`` into the record, runs the tests of the other proofs
(``--run planted_bugs bad_histories fuzz``), and writes the README's section from the record. Without arguments it only
writes the section. Exit code 1: a test of a proof that was run did not pass; 2: a file is not one of that proof.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import msgspec

from tests.figures.origin import ROOT, origin
from tests.figures.record import Misread, Record, Run, taken
from tests.figures.render import written

RECORD = Path(__file__).with_name("figures.json")
README = ROOT / "README.md"
FILES = ("simulation", "kill", "switches", "lag", "backfill", "benchmarks", "capacity")
#: proof -> the tests that it consists of, and their seeds.
TESTS: Mapping[str, tuple[str, str]] = {
    "planted_bugs": ("tests/simulation/test_seeds.py::test_a_planted_bug_is_found", "0 to 1999 at most, each bug"),
    "bad_histories": (
        "tests/simulation/test_check.py::test_a_history_that_breaks_a_law_is_rejected_by_that_law",
        "none",
    ),
    "fuzz": ("tests/integration/test_schemathesis.py", "none fixed"),
}  # fmt: skip


def load() -> Record:
    """The record as it is kept."""
    return msgspec.json.decode(RECORD.read_bytes(), type=Record)


def counted(report: str) -> dict[str, float]:
    """Tests and passed ones of a JUnit report. One that was skipped has not passed."""
    cases = list(ElementTree.fromstring(report).iter("testcase"))
    passed = [
        case for case in cases if all(case.find(end) is None for end in ("failure", "error", "skipped"))
    ]
    return {"tests": len(cases), "passed": len(passed)}


def tested(proof: str) -> Run:
    """Runs the tests of a proof. Raises Misread if there was none to run."""
    tests, seeds = TESTS[proof]
    made = origin(seeds)
    with tempfile.TemporaryDirectory(prefix="twinrun-figures-") as folder:
        report = Path(folder) / "report.xml"
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", tests, f"--junitxml={report}"],
            cwd=ROOT,
            check=False,
            stdout=sys.stderr,
        )
        if not report.exists():
            raise Misread(f"{proof}: pytest wrote no report of {tests}")
        numbers = counted(report.read_text("utf-8"))
    if not numbers["tests"]:
        raise Misread(f"{proof}: there is no test {tests}")
    return Run(origin=made, numbers=numbers)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.figures", description=__doc__)
    for proof in FILES:
        parser.add_argument(
            f"--{proof}", type=Path, metavar="FILE", help=f"figures of the {proof}, of its --json"
        )
    parser.add_argument("--run", nargs="+", default=[], choices=TESTS, help="run the tests of these proofs")
    told = parser.parse_args()
    record = load()
    try:
        for proof in FILES:
            if (file := getattr(told, proof)) is not None:
                record = record.with_run(proof, taken(proof, file.read_bytes()))
        for proof in told.run:
            record = record.with_run(proof, tested(proof))
    except (Misread, OSError) as wrong:
        print(wrong, file=sys.stderr)
        return 2
    RECORD.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    README.write_text(written(README.read_text("utf-8"), record), "utf-8")
    short = [name for name in told.run if (now := record.runs[name].numbers)["passed"] < now["tests"]]
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
