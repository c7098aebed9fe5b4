"""The lock file of a SQLite journal."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from gateway.errors import SettingWrong


class Lock:
    """A SQLite journal has one serving process. A second start refuses instead of sharing its lanes."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._file = self._path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as held:
            self._file.close()
            raise SettingWrong(
                f"another process serves {database}: stop it, or use PostgreSQL for more than one process"
            ) from held
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
