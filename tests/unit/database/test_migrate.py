"""Revisions of the journal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import text

from gateway.database.engine import sqlite_engine
from gateway.database.migrate import HEAD, at_head, config, upgrade


def test_the_head_is_the_newest_revision_file() -> None:
    """The start reads one word from the database instead of every revision; the word must be the right one."""
    assert ScriptDirectory.from_config(config()).get_heads() == [HEAD]


def test_an_upgrade_is_complete_and_may_come_twice(tmp_path: Path) -> None:
    """Empty is not ready, upgraded is, and another upgrade changes nothing."""
    path = tmp_path / "journal.db"
    engine = sqlite_engine(path)
    with engine.connect() as connection:
        assert not at_head(connection)
    for _ in range(2):
        upgrade(f"sqlite:///{path}")
        with engine.connect() as connection:
            assert at_head(connection)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'contract_9999'"))
    with engine.connect() as connection:
        assert not at_head(connection)
    engine.dispose()


def test_a_journal_that_is_up_to_date_needs_no_alembic(tmp_path: Path) -> None:
    """A restart costs no import of what it does not need."""
    path = tmp_path / "journal.db"
    upgrade(f"sqlite:///{path}")
    script = (
        "import sys\n"
        "from gateway.database.migrate import upgrade\n"
        f"upgrade({f'sqlite:///{path}'!r})\n"
        "print([name for name in ('alembic', 'sqlalchemy.orm') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "[]\n"
