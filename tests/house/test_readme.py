"""The README says what is so: its tables are the code's, its commands run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.cli.commands import NOUNS, VERBS, application, whole
from gateway.settings import NOT_SETTINGS, load
from tests.house import tables
from tests.house.tree import ROOT, tracked
from tests.integration.service import running

TEXT = tables.README.read_text("utf-8")
SETUP = "pip install . && twinrun demo"
TESTS = "pip install '.[test]' && pytest"
FOUND_S = 60.0  #: deadline of the difference that the walk makes; about 3 s on a quiet machine


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """Every ``twinrun …`` in a code block or in backticks, as words; names in capitals stand for values."""
    lines = [line for block in blocks() for line in block.splitlines() if not line.lstrip().startswith("#")]
    lines += re.findall(r"`([^`\n]*)`", text)
    found = [one for line in lines for one in re.findall(r"\btwinrun ([a-z][^)&]*)", line)]
    return [re.findall(r'"[^"]*"|\S+', one) for one in found]


@pytest.mark.parametrize("make", tables.TABLES.values(), ids=tables.TABLES.keys())
def test_tables_are_those_of_the_code(make: object) -> None:
    """Stages, profiles and settings stand in the README as the program has them."""
    assert callable(make)
    assert make() in TEXT, "python -m tests.house.tables writes them anew"


def test_every_setting_says_what_it_is() -> None:
    """No key of the settings is without a remark: unit, default and reason."""
    silent = [
        f"{name}.{key}"
        for name in ("Settings", *(owner.__name__ for owner in tables.NESTED.values()))
        for key, remark in tables.remarks(name).items()
        if not remark and key not in tables.NESTED
    ]
    assert silent == []


def test_the_sections_stand_in_their_order() -> None:
    """What it is, the stage table, a mismatch to see, how it works, how to add, to run and to contribute."""
    assert re.findall(r"^## (.*)$", TEXT, flags=re.MULTILINE) == [
        "Five minutes to a visible mismatch",
        "A request in eight stops",
        "Map of rooms",
        "Add a product",
        "Add an entity",
        "Simulated, recorded, live",
        "Settings",
        "Operations",
        "Figures",
        "Contribute",
    ]
    assert TEXT.index(tables.stages()) < TEXT.index("\n## ")
    stops = re.search(r"## A request in eight stops\n(.*?)\n## ", TEXT, flags=re.DOTALL)
    assert stops is not None
    assert re.findall(r"^(\d)\. ", stops.group(1), flags=re.MULTILINE) == list("12345678")


def test_two_commands_do_all_the_set_up() -> None:
    """A newcomer and a contributor need one line each, and the checks of a change use the contributor's."""
    assert [block.strip() for block in blocks() if "pip install" in block] == [SETUP, TESTS]
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    install, _, test = TESTS.partition(" && ")
    lines = [line.strip() for line in script.splitlines()]
    # Each part tells its failures, and one of them is a failure of all; the last part is all that the others leave.
    assert [line for line in lines if line.startswith(test)] == [
        'pytest "$histories" || failed=1',
        'pytest "${alone[@]}" || failed=1',
        (
            'pytest "${alone[@]/#/--ignore=}" --ignore="$histories" --numprocesses=2 --dist=loadfile'
            " --no-loadscope-reorder || failed=1"
        ),
    ]
    assert lines[-1] == 'exit "$failed"', "what fails decides the exit code"
    assert install.replace("pip install", "pip install --quiet") in lines
    assert "set -euo pipefail" in lines
    assert "export TWINRUN_REQUIRE_SERVERS=1" in lines
    assert subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=False).returncode == 0


def test_its_commands_exist_with_their_options() -> None:
    """Every ``twinrun`` command line in the README is one that the program takes."""
    found = commands(TEXT)
    assert len(found) > 10
    assert [words for words in found if words[0] not in {*NOUNS, *VERBS}] == []
    for words in found:
        complete = [word.strip('"') for word in words]
        if complete == ["rules", "set"]:
            continue  # named in passing; its whole form is in the walk, and parsed there
        application().parse_args(whole(complete), print_error=False, exit_on_error=False)


def test_every_room_is_on_the_map() -> None:
    """Each package of the gateway and each top folder of the program has its row."""
    rooms = [path.parent.name for path in (ROOT / "gateway").glob("*/__init__.py")]
    missing = [room for room in rooms if f"`gateway/{room}`" not in TEXT]
    missing += [top for top in ("adapters", "routing_rules", "docker") if f"| `{top}` |" not in TEXT]
    assert missing == []
    named = re.findall(r"`((?:gateway|adapters|routing_rules|tests|docker|\.ci)/[\w./-]*)`", TEXT)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_environment_variables_it_names_are_read() -> None:
    """A variable in the README is a setting, or one of those that are known to be none."""
    wrong = [
        name
        for name in re.findall(r"TWINRUN_[A-Z_]+", TEXT)
        if name not in NOT_SETTINGS
        and name.removeprefix("TWINRUN_").removesuffix("_FILE").split("__")[0].lower() not in tables.remarks("Settings")
    ]
    assert wrong == []
    assert load({"TWINRUN_PORT": "9000"}, folder=Path(os.devnull).parent).port == 9000


def test_links_inside_the_repository_lead_somewhere() -> None:
    """No link of a document names a file that is not there."""
    wrong = [
        f"{path.name}: {target}"
        for path in tracked()
        if path.suffix == ".md"
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text("utf-8"))
        if not (path.parent / target).exists()
    ]
    assert wrong == []


@pytest.mark.slow
def test_the_walk_by_hand_ends_in_a_visible_mismatch(tmp_path: Path) -> None:
    """The commands of "five minutes", run as they stand but for the ports, end with the difference they promise."""
    block = next(block for block in blocks() if "_sandbox/faults" in block)
    before, last = block.rsplit("twinrun diffs", 1)
    assert last.strip() == ""
    with running(tmp_path) as service:
        cloud = service.environment["TWINRUN_SYSTEMS__CLOUD__BASE_URL"]
        script = before.replace("http://127.0.0.1:8102", cloud).replace("http://127.0.0.1:8080", service.address)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TWINRUN_")},
            **service.environment,
            "PYTHONPATH": str(ROOT),
        }
        program = f'twinrun() {{ "{sys.executable}" -m gateway.cli "$@"; }}\ncurl() {{ command curl -fsS "$@"; }}\n'

        def shell(text: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["bash", "-euo", "pipefail", "-c", program + text],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )

        walked = shell(script)
        assert walked.returncode == 0, walked.stderr
        until = time.monotonic() + FOUND_S
        while (found := shell("twinrun diffs")).returncode != 1:
            assert time.monotonic() < until, found.stdout + found.stderr
        assert re.search(r"mismatch +cus_\S+ +name ", found.stdout), found.stdout
