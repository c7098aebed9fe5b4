"""What a fence waits for: edits made in the system that a move leaves are in the other one before that one leads."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection, select

from adapters.contract import Adapter
from gateway.change_feed import asking, waits
from gateway.change_feed.asking import Key
from gateway.change_feed.follower import Follower
from gateway.change_feed.tables import feed
from gateway.clock import rfc3339
from gateway.database import Database, from_micros


class Handover:
    """Implements ``switchover.edits.Edits``. ``told`` hears when a feed is to be read at once."""

    def __init__(
        self,
        *,
        database: Database,
        follower: Follower,
        adapters: Mapping[str, Adapter],
        told: Callable[[], None],
    ) -> None:
        self._database = database
        self._follower = follower
        self._adapters = adapters
        self.told = told

    def lag_s(self, system: str, entity: str) -> float | None:
        """None: edits made there are not followed, so nobody waits for them."""
        if not self._follower.on or self._follower.unable(system, entity) is not None:
            return None
        return self._adapters[system].facts(entity).lag_s

    def ask(self, connection: Connection, key: Key, *, epoch: int, past: int) -> None:
        """Has the feed read on behind the fence of this epoch, by a pass that begins at ``past`` (microseconds UTC) or
        later."""
        asking.behind_fence(connection, key, epoch=epoch, past=past, now=self._database.now(connection))

    def unread(self, connection: Connection, key: Key, *, past: int) -> str | None:
        """What is still to be read or carried over of what was edited before, in words; None: nothing. What a person
        decides, and what waits for a write that the fence holds, is not waited for."""
        columns = feed.c
        row = connection.execute(
            select(columns.read_at, columns.note, columns.failures).where(
                columns.system == key[0], columns.entity == key[1], columns.region == key[2]
            )
        ).one_or_none()
        read_at = None if row is None else row.read_at
        if read_at is None or read_at < past:
            upto = "has never been read" if read_at is None else f"is read up to {_said(read_at)}"
            why = f" ({row.note})" if row is not None and row.failures and row.note else ""
            return f"the change feed of {key[0]} {upto}, and not past {_said(past)}{why}"
        left = waits.in_the_way(connection, key)
        return f"edits made in {key[0]} wait to be carried over: {'; '.join(left)}" if left else None


def _said(at: int) -> str:
    return rfc3339(from_micros(at))
