"""Waivers as the routes ask for them."""

from __future__ import annotations

from typing import Any

from gateway.compare.waiver import Standing, Waiver, Wish
from gateway.errors import NotFoundHere


class FakeWaivers:
    """Keeps what it is asked for."""

    def __init__(self) -> None:
        self.wishes: list[Wish] = []

    async def create(self, wish: Wish, *, actor: str) -> Standing:
        self.wishes.append(wish)
        made = Waiver(
            id=f"wai_0198f0c2-7b10-7f44-9a01-{len(self.wishes):012d}",
            created_at=1_767_000_000_000_000,
            created_by=actor,
            **{name: getattr(wish, name) for name in Wish.__struct_fields__},
        )
        return Standing(waiver=made, state="active", findings=0, money={})

    async def page(self, **asked: Any) -> list[Standing]:
        return []

    async def one(self, waiver_id: str, **asked: Any) -> Standing:
        raise NotFoundHere(waiver_id)

    async def revoke(self, waiver_id: str, **asked: Any) -> Standing:
        raise NotFoundHere(waiver_id)
