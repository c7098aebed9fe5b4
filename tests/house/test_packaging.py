"""What is installed is what was written, and nothing is used that was not asked for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import adapters
import gateway
from tests.house.tree import ROOT, program, tracked

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
BASE = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = {name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()}
#: Needed at run time without an import of ours: SQLAlchemy finds the driver by the database's address.
FOUND_BY_NAME = {"asyncpg"}


def test_tests_run_against_the_checkout() -> None:
    """An installed copy beside the checkout is never what the tests import."""
    assert Path(gateway.__file__).is_relative_to(ROOT)
    assert Path(adapters.__file__).is_relative_to(ROOT)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel that ``pip install .`` would install."""
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as opened:
        yield opened


def test_the_wheel_holds_the_whole_program(wheel: zipfile.ZipFile) -> None:
    """Each tracked file of the program is in it: code, profiles, rule files, pages, browser files, migrations."""
    inside = set(wheel.namelist())
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in tracked()
        if path.relative_to(ROOT).parts[0] in {"gateway", "adapters", "routing_rules"}
    }
    assert wanted - inside == set()
    for pattern in (
        r"routing_rules/regions\.toml", r"routing_rules/invoice\.toml", r"adapters/profiles/sandbox_legacy\.toml",
        r"gateway/console/templates/.*\.html", r"gateway/console/static/.*\.css",
        r"gateway/console/static/vendor/htmx.*/.*\.js", r"gateway/console/static/vendor/vendor\.lock",
        r"gateway/database/migrations/script\.py\.mako", r"gateway/database/migrations/versions/.*\.py",
    ):  # fmt: skip
        assert any(re.fullmatch(pattern, name) for name in inside), pattern


def test_the_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    """No test, no database, no cache and no settings of the machine that built it."""
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"gateway", "adapters", "routing_rules"}
    stray = re.compile(r"__pycache__|\.py[co]$|\.db|twinrun\.toml|\.(ruff|pytest|import_linter)_cache|\.orig$|~$")
    assert [name for name in wheel.namelist() if stray.search(name)] == []


def _imported(folder: str) -> dict[str, set[str]]:
    """Top-level package of others -> the files that import it."""
    found: dict[str, set[str]] = {}
    own = {"gateway", "adapters", "tests"} | set(sys.stdlib_module_names)
    for path in program(folder):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = (
                [one.name for one in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom) and not node.level
                else []
            )
            for name in names:
                top = name.partition(".")[0]
                if top not in own:
                    found.setdefault(top, set()).add(path.relative_to(ROOT).as_posix())
    return found


def _distribution(module: str) -> str:
    known = packages_distributions().get(module)
    return canonicalize_name(known[0] if known else module)


def test_what_the_program_imports_is_what_it_asks_for() -> None:
    """Nothing is imported that some other package merely happens to bring, and nothing is asked for in vain."""
    extras = [one for name in ("postgres", "redis", "bulk") for one in EXTRAS[name]]
    declared = {canonicalize_name(one.name) for one in [*BASE, *extras]}
    used = {_distribution(module) for folder in ("gateway", "adapters") for module in _imported(folder)}
    assert used - declared == set(), "imported and not declared"
    assert declared - used - FOUND_BY_NAME == set(), "declared and not imported"


def test_optional_drivers_are_imported_by_their_own_files_only() -> None:
    """The demo needs neither PostgreSQL's nor Redis's driver: no module that it loads imports one at its top."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\nsys.modules.update(asyncpg=None, redis=None)\nimport gateway.app, gateway.cli.demo.command\n",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_dependency_has_a_floor_and_most_a_ceiling() -> None:
    """A range says what was tried and where a break may come; nothing is taken in whatever version turns up."""
    for one in [*BASE, *(one for lines in EXTRAS.values() for one in lines)]:
        if one.name == PROJECT["name"]:
            continue
        operators = {spec.operator for spec in one.specifier}
        assert ">=" in operators, one
        calendar = any(int(spec.version.split(".")[0]) >= 20 for spec in one.specifier)
        assert "<" in operators or calendar, one


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        pytest.param(
            "requirements.lock", [*BASE, *EXTRAS["postgres"], *EXTRAS["redis"], *EXTRAS["bulk"]], id="run time"
        ),
        pytest.param("build.lock", [Requirement("hatchling>=1.27,<2")], id="build"),
    ],
)
def test_the_lock_holds_what_the_project_asks_for(lock: str, wanted: list[Requirement]) -> None:
    """Each requirement is pinned within its range and with hashes, each pin has hashes, and no index is named."""
    text = (ROOT / "docker" / lock).read_text("utf-8")
    pins = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", text, flags=re.MULTILINE))
    for one in wanted:
        name = canonicalize_name(one.name)
        assert name in pins, f"{name} is not locked; the first line of the lock says how it is made"
        assert one.specifier.contains(pins[name]), f"{name} {pins[name]} is outside of {one.specifier}"
    for entry in re.split(r"\n(?=[a-z0-9])", text.split("\n", 1)[1].strip()):
        assert "--hash=sha256:" in entry, entry.splitlines()[0]
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


def test_the_entry_point_is_there() -> None:
    """``twinrun`` starts the command line."""
    from gateway.cli import main

    assert PROJECT["scripts"] == {"twinrun": "gateway.cli:main"}
    assert callable(main)
