"""Guards as the route asks for them."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.readiness import Watched


class FakeGuards:
    """One slice of each region."""

    async def standing(
        self, *, regions: frozenset[str] | None = None, entities: frozenset[str] | None = None
    ) -> Sequence[Watched]:
        return [
            Watched(
                entity="invoice",
                region=region,
                guard="Money parts",
                gates=("money",),
                windows=3,
                window_minutes=10,
                then="ask",
                hold_hours=24,
                watching=True,
                failing=2,
                verdict="fail",
                failed=("Records in which money parts: 1, and the threshold is 0",),
                looked_at=1_767_000_000_000_000,
                next_at=1_767_000_600_000_000,
            )
            for region in ("UK", "EMEA")
            if regions is None or region in regions
        ]
