"""The port for waking others, and the process that has no others."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol


class Word(StrEnum):
    """What to look for."""

    DELIVERIES = "deliveries"  #: some delivery became ready
    RULES = "rules"  #: the rule of some slice changed
    FEEDS = "feeds"  #: some change feed is to be read before its turn
    GATES = "gates"  #: some system asks to be left alone


class Wake(Protocol):
    def listen(self, word: Word, heard: Callable[[], None]) -> None:
        """Calls ``heard`` whenever another process may have told this word. It must neither wait nor raise."""
        ...

    def tell(self, word: Word) -> None:
        """Lets the other processes know, soon. Never waits and never fails."""
        ...

    async def start(self) -> None:
        """Begins to listen."""
        ...

    async def stop(self) -> None:
        """Tells what is still to be told, if that goes quickly, and ends."""
        ...


class Alone:
    """One process, or several that find each other's work by looking: nobody is told, and nobody tells."""

    def listen(self, word: Word, heard: Callable[[], None]) -> None:
        del word, heard

    def tell(self, word: Word) -> None:
        del word

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        return
