"""What one history is made of: everything that the seed decides before the first event."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from gateway.routing.stage import Stage
from tests.simulation.erp import Product, product_of
from tests.simulation.wire import ON_WRITES

#: Each is switched on for half of all seeds.
FAULTS = (
    *ON_WRITES,
    "read lag",
    "search lag",
    "cut values",
    "refusals",
    "outage",
    "direct edit",
    "crash",
    "pause",
    "clock off",
    "clock jump",
    "store away",
    "commit lost",
    "store slow",
    "wake lost",
    "client gone",
)
#: The part of the seeds that are looked at closely, with backfills and comparisons: it costs half as much again.
CLOSELY = 0.25
ENTITIES = ("customer", "project", "invoice")
REGION = "UK"
LEGAL_ENTITY = "UK01"


class Scenario(msgspec.Struct, kw_only=True):
    seed: int
    faults: frozenset[str]
    rate: float  #: the part of the calls to a system that something happens to
    products: dict[str, Product]
    stages: dict[str, Stage]
    storable: dict[str, bool]
    replicas: int = 3
    workers: int = 2  #: delivery loops of each replica
    clients: int = 3
    operations: int = 12  #: of each client
    records: int = 8
    moves: int = 0
    emergencies: int = 0  #: how often two persons leave an authority, which may be down by then
    closely: bool = False  #: a slice is backfilled on the way, all of them at the end, and everything is compared
    pace_s: float = 1.5  #: mean time that a client thinks
    embedded: bool = False  #: one replica, as on a SQLite journal
    numbered: float = 0.7  #: the part of the creates that bring a number
    lease_margin_s: float = 5.0
    quarantine_margin_s: float = 3.0
    drain_limit_s: float = 20.0
    #: what happens to a system's first mutating calls, whatever the faults: for histories made by hand
    script: dict[str, list[str]] = msgspec.field(default_factory=dict[str, "list[str]"])
    kinds: tuple[str, ...] = ENTITIES

    def has(self, fault: str) -> bool:
        return fault in self.faults


def scenario(seed: int, **changes: Any) -> Scenario:
    """The scenario of a seed; ``changes`` replace parts of it, and what they do not name stays as the seed has it."""
    rng = random.Random(f"scenario {seed}")
    faults = frozenset(one for one in FAULTS if rng.random() < 0.5)
    faults = changes.pop("faults", faults)
    embedded = rng.random() < 0.1
    stages = (Stage.DUAL_WRITE, Stage.DUAL_WRITE, Stage.SHADOW, Stage.SHADOW, Stage.LIVE, Stage.RAMP_DOWN)
    made = Scenario(
        seed=seed,
        faults=faults,
        rate=rng.choice((0.1, 0.2, 0.35)),
        products={system: product_of(system, rng, faults) for system in ("legacy", "cloud")},
        stages={
            entity: Stage.LEGACY_ONLY if rng.random() < 0.08 else rng.choice(stages) for entity in ENTITIES
        },
        storable={entity: rng.random() < 0.7 for entity in ENTITIES},
        replicas=1 if embedded else 3,
        clients=rng.choice((2, 3, 4)),
        operations=rng.choice((9, 12)),
        records=rng.randint(5, 10),
        moves=rng.choice((0, 0, 1, 2)),
        pace_s=rng.choice((0.3, 1.0, 2.5)),
        embedded=embedded,
        # Of a draw of its own: all else of a seed stays as it was before there were any.
        closely=random.Random(f"closely {seed}").random() < CLOSELY,
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def leaving(seed: int) -> Scenario:
    """The cloud leads, often does not say what it did, and is left by two persons, more than once."""
    rng = random.Random(f"emergency {seed}")
    there = scenario(seed)
    return scenario(
        seed,
        faults=there.faults | {"hang", "answer lost", "late landing", "error with effect"},
        rate=0.35,
        pace_s=rng.choice((0.3, 0.5, 1.0)),
        emergencies=rng.choice((2, 3, 4)),
        stages={
            entity: rng.choice((Stage.LIVE, Stage.LIVE, Stage.RAMP_DOWN, Stage.SHADOW)) for entity in ENTITIES
        },
    )
