"""Waivers in memory: one of each standing, and what a test makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from gateway.compare.waiver import Standing, Waiver, Wish
from gateway.database import to_micros
from gateway.errors import FieldError, Invalid

START = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


class FakeWaivers:
    """One waiver of each standing; what is made is kept, and what is ended stays."""

    def __init__(self) -> None:
        at = to_micros(START)
        day = 24 * 3600 * 1_000_000
        self.now = at
        self.kept = [
            self._waiver(3, expires_at=at + 3 * day, field="name", kind="value", reason="<b>legal</b> forms"),
            self._waiver(2, expires_at=at - day),
            self._waiver(1, expires_at=at + 30 * day, revoked_at=at - day, revoked_by="cy"),
        ]

    def _waiver(self, number: int, **changes: Any) -> Waiver:
        fields: dict[str, Any] = {
            "id": f"wai_0193000{number}",
            "entity": "customer",
            "region": "AMER",
            "field": "billing_address.city",
            "kind": "case_or_space",
            "reason": "The old ERP writes capitals",
            "owner": "data steward",
            "created_at": self.now,
            "created_by": "ann",
        }
        return Waiver(**fields | changes)

    def _standing(self, one: Waiver) -> Standing:
        return Standing(waiver=one, state=one.state(self.now), findings=4, money={"EUR": Decimal("0.05")})

    async def page(self, *, state: str | None, **asked: Any) -> Sequence[Standing]:
        found = [self._standing(one) for one in self.kept]
        return [one for one in found if state in (None, one.state)]

    async def create(self, wish: Wish, *, actor: str) -> Standing:
        if not wish.reason.strip():
            error = FieldError(pointer="/reason", code="blank", message="must say something")
            raise Invalid("/reason must say something", errors=[error])
        fields = {name: getattr(wish, name) for name in Wish.__struct_fields__}
        made = self._waiver(9, created_by=actor, **fields)
        self.kept.insert(0, made)
        return self._standing(made)

    async def revoke(self, waiver_id: str, *, actor: str, **asked: Any) -> Standing:
        (place,) = (place for place, one in enumerate(self.kept) if one.id == waiver_id)
        self.kept[place] = msgspec.structs.replace(self.kept[place], revoked_at=self.now, revoked_by=actor)
        return self._standing(self.kept[place])
