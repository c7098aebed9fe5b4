"""The append-only effect log: what was done to the records of one system, written by the system itself.

A line reaches the file before the answer reaches the caller; a thread makes it durable right after (one
``fsync`` for all lines that wait), so that even a killed simulator has told everything it did.
"""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from adapters.sandbox.fields import Table
from adapters.sandbox.store import Row

#: How long a line may wait to become durable; it is in the file at once, and survives a kill of the process.
SYNC_S = 0.005
_encoder = msgspec.json.Encoder(decimal_format="string")


def body_hash(body: bytes) -> str:
    return blake2b(body, digest_size=16).hexdigest()


def instant(microseconds: int) -> str:
    """RFC 3339 in UTC with microseconds."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{_second(seconds)}.{rest:06d}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


class Effect:
    """One mutation. It holds the row as it stood then; the readable form is made when somebody reads."""

    __slots__ = ("action", "at", "body_hash", "marker", "row", "seq", "table")

    def __init__(
        self, seq: int, at: int, action: str, table: Table, row: Row, marker: str | None, body_hash: str
    ) -> None:
        self.seq = seq
        self.at = at
        self.action = action
        self.table = table
        self.row = row
        self.marker = marker
        self.body_hash = body_hash

    def readable(self, system: str) -> dict[str, Any]:
        table, row = self.table, self.row
        names = (table.by_canon[canon].name for canon in table.main)
        return {
            "seq": self.seq,
            "time": instant(self.at),
            "system": system,
            "entity": table.entity,
            "key": row.key,
            "external_id": row.external_id,
            "action": self.action,
            "marker": self.marker,
            "body_hash": self.body_hash,
            "version": row.version,
            "main": {name: row.values[name] for name in names},
        }


class EffectLog:
    """All effects of one system since its start."""

    def __init__(self, system: str, file: Path | None = None) -> None:
        self.system = system
        self.entries: list[Effect] = []
        self._held: int | None = None
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) if file else None
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._syncer: threading.Thread | None = None
        if self._file is not None:
            self._syncer = threading.Thread(target=self._sync, name=f"effects-{system}", daemon=True)
            self._syncer.start()

    def append(self, at: int, action: str, table: Table, row: Row, marker: str | None, hashed: str) -> None:
        effect = Effect(len(self.entries) + 1, at, action, table, row, marker, hashed)
        self.entries.append(effect)
        if self._held is None:
            self._write((effect,))

    def hold(self) -> None:
        """From here on nothing is written until ``release`` or ``discard``: all of a group or nothing."""
        self._held = len(self.entries)

    def release(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._write(self.entries[held:])

    def discard(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            del self.entries[held:]

    def read(
        self,
        *,
        since: int = 0,
        limit: int = 100_000,
        marker: str | None = None,
        external_id: str | None = None,
        entity: str | None = None,
        key: str | None = None,
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for effect in self.entries[max(since, 0) :]:
            if (
                (marker is None or effect.marker == marker)
                and (external_id is None or effect.row.external_id == external_id)
                and (entity is None or effect.table.entity == entity)
                and (key is None or effect.row.key == key)
            ):
                found.append(effect.readable(self.system))
                if len(found) == limit:
                    break
        return found

    def close(self) -> None:
        if self._file is None or self._syncer is None:
            return
        self._closing.set()
        self._wake.set()
        self._syncer.join()
        os.fsync(self._file)
        os.close(self._file)
        self._file = None

    def _write(self, effects: list[Effect] | tuple[Effect, ...]) -> None:
        if self._file is None or not effects:
            return
        os.write(self._file, b"".join(_encoder.encode(e.readable(self.system)) + b"\n" for e in effects))
        self._wake.set()

    def _sync(self) -> None:
        file = self._file
        assert file is not None
        while not self._closing.is_set():
            self._wake.wait()
            # Lines that come close together share one fsync.
            self._closing.wait(SYNC_S)
            self._wake.clear()
            os.fsync(file)
