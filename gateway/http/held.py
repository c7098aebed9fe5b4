"""What a caller has not taken yet of an answer that is made while its request still comes in.

Most clients read nothing before they have sent everything. If their answers were waited for, both sides would wait for
each other; if they were kept in memory, memory would grow with the file. So beyond a block they go to a temporary file,
and only when that is large as well is the request read no further.
"""

from __future__ import annotations

import asyncio
import tempfile
from typing import BinaryIO

#: Bytes kept in memory, and read back at once.
BLOCK = 256 * 1024
#: Bytes held at most before ``put`` waits: some fifty thousand records.
MOST = 64 * 1024 * 1024


class Held:
    """First in, first out, for one that puts and one that takes."""

    def __init__(self, *, block: int = BLOCK, most: int = MOST) -> None:
        self._block = block
        self._most = most
        self._newest = bytearray()
        self._file: BinaryIO | None = None
        self._read = 0
        self._written = 0
        self._ended = False
        self._changed = asyncio.Condition()

    async def put(self, data: bytes) -> None:
        """Keeps ``data``; waits while too much is held."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._size() < self._most)
            self._newest += data
            if len(self._newest) >= self._block:
                await asyncio.to_thread(self._spill)
            self._changed.notify_all()

    async def end(self) -> None:
        """Nothing more will be put."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def take(self) -> bytes:
        """The oldest that is held, as soon as there is some; empty when that was all."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._size() > 0 or self._ended)
            if self._written > self._read:
                block = await asyncio.to_thread(self._fetch)
            else:
                block = bytes(self._newest)
                self._newest.clear()
            self._changed.notify_all()
            return block

    def close(self) -> None:
        """Gives the file back; it has no name, so nothing is left of it."""
        if self._file is not None:
            self._file.close()

    def _size(self) -> int:
        return self._written - self._read + len(self._newest)

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the answer is, and closed with it
        self._file.seek(self._written)
        self._file.write(self._newest)
        self._written += len(self._newest)
        self._newest.clear()

    def _fetch(self) -> bytes:
        assert self._file is not None
        self._file.seek(self._read)
        block = self._file.read(self._block)
        self._read += len(block)
        if self._read == self._written:
            self._file.seek(0)
            self._file.truncate()
            self._read = self._written = 0
        return block
