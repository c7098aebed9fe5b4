"""The house's own rules, held by the tools that know them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from sqlalchemy import create_engine

from gateway.database import metadata
from gateway.database.migrate import upgrade
from tests.house.tree import ROOT, shown, tracked


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    """A tool of this very environment, whether or not the environment is activated."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_ruff_finds_nothing() -> None:
    """Every file of the project passes the linter with the rules in pyproject."""
    done = _run("-m", "ruff", "check", "--no-cache", "--output-format", "concise", ".")
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_finds_nothing() -> None:
    """The program is fully typed: strict, no error and no warning."""
    done = _run("-m", "pyright", "--warnings", "--pythonpath", sys.executable)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


def test_imports_go_one_way() -> None:
    """Rooms import downwards only, and the adapters know nothing of the gateway."""
    done = _run("-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache")
    assert done.returncode == 0, done.stdout + done.stderr
    # A run that found no contract would pass as well.
    assert re.search(r"Contracts: [1-9]\d* kept, 0 broken", done.stdout), done.stdout


def test_every_room_has_its_place_in_the_chain_of_imports() -> None:
    """A room that the layers do not name could import anything: each package and module of the gateway is listed."""
    import tomllib

    layers = next(
        contract["layers"]
        for contract in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    listed = {name.strip() for layer in layers for name in layer.split("|")}
    there = {
        f"gateway.{path.stem}"
        for path in (ROOT / "gateway").iterdir()
        if (path.is_dir() and (path / "__init__.py").exists()) or (path.suffix == ".py" and path.stem != "__init__")
    }
    assert there == listed


def test_the_migrations_make_the_declared_tables(tmp_path: Path) -> None:
    """What the revisions leave behind is what the rooms declare: the autogenerator finds no difference."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    import gateway.app  # noqa: F401 - brings in every room's tables

    path = tmp_path / "journal.db"
    upgrade(f"sqlite:///{path}")
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


#: The address of a package index in any form that a lock or a script could carry.
INDEX = re.compile(
    r"https?://[^\s\"']+/simple(/|\b)|--(extra-)?index-url\s+\S|--find-links\s+\S|\"resolved\":\s*\"https?://"
    r"|files\.pythonhosted|pypi\.org|registry\.npmjs"
)


def test_no_file_carries_a_package_index() -> None:
    """No tracked file names the address of a package index, and there is no second lock of the project."""
    assert not (ROOT / "uv.lock").exists()
    wrong = [
        shown(path)
        for path in tracked()
        if path.suffix in {".py", ".toml", ".lock", ".txt", ".json", ".yaml", ".yml", ".md", ".sh", ".cfg", ""}
        and "vendor" not in path.parts
        and path != Path(__file__)
        and INDEX.search(path.read_text("utf-8", "replace"))
    ]
    assert wrong == []


def test_no_file_carries_a_path_of_one_machine() -> None:
    """No tracked file names somebody's home or a workplace: the project runs wherever it is cloned."""
    places = re.compile(r"(?<![\w.])/(home|Users|root|work)/[\w.-]+")
    wrong = [
        f"{shown(path)}: {found.group()}"
        for path in tracked()
        if path.suffix in {".py", ".toml", ".md", ".yaml", ".yml", ".sh", ".json", ".conf", ""}
        and "vendor" not in path.parts
        and path != Path(__file__)
        and (found := places.search(path.read_text("utf-8", "replace")))
    ]
    assert wrong == []
