"""The house's own rules, held by the tools that know them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from gateway.database import metadata
from gateway.database.migrate import upgrade

ROOT = Path(__file__).parents[2]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)


def test_ruff_finds_nothing() -> None:
    """Every file of the project passes the linter with the rules in pyproject."""
    done = _run("ruff", "check", ".")
    assert done.returncode == 0, done.stdout


def test_pyright_finds_nothing() -> None:
    """The program is fully typed: strict, no error and no warning."""
    done = _run("pyright", "--warnings")
    assert done.returncode == 0, done.stdout[-6000:]


def test_imports_go_one_way() -> None:
    """Rooms import downwards only, and the adapters know nothing of the gateway."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


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


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_carries_a_package_index() -> None:
    """No tracked file names the address of a package index, and there is no second lock file."""
    assert not (ROOT / "uv.lock").exists()
    host = re.compile(r"https?://[^\s\"']+/simple(/|\b)|--(extra-)?index-url\s+\S|\"resolved\":\s*\"https?://")
    wrong = [
        str(path.relative_to(ROOT))
        for path in _tracked()
        if path.suffix in {".py", ".toml", ".lock", ".txt", ".json", ".yaml", ".yml", ".md", ""}
        and "vendor" not in path.parts
        and path != Path(__file__)
        and host.search(path.read_text("utf-8", "replace"))
    ]
    assert wrong == []


def test_no_python_file_names_a_product() -> None:
    """Products are profiles: no file of the program names one."""
    names = re.compile(r"\b(tryton|odoo|netsuite|workday|dynamics|xero|sage|s/?4 ?hana|business central)\b", re.IGNORECASE)
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("gateway", "adapters")
        for path in (ROOT / folder).rglob("*.py")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if names.search(line)
    ]
    assert wrong == []


def test_no_file_is_two_things() -> None:
    """No Python file is longer than 400 lines, generated migrations aside."""
    wrong = {
        str(path.relative_to(ROOT)): length
        for folder in ("gateway", "adapters")
        for path in (ROOT / folder).rglob("*.py")
        if "migrations" not in path.parts and (length := len(path.read_text("utf-8").splitlines())) > 400
    }
    assert wrong == {}
