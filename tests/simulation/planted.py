"""Bugs of the kind that such programs have, planted in the real classes one at a time: each must be found.

Guards hide each other, so each bug names a scenario of its own in which nothing else stands in for the one that is
taken away, and the laws by which it must be caught there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from types import SimpleNamespace
from typing import Any

import msgspec
from sqlalchemy import Connection

from adapters.contract import Idempotency, Page
from gateway.backfill.steps import Steps
from gateway.compare import comparer
from gateway.compare import store as compared
from gateway.compare.difference import Diffs
from gateway.compare.look import Eye
from gateway.compare.observation import Fence
from gateway.compare.verdict import Settled, Verdict, at_first_sight
from gateway.dispatch import conclusion, executor, idempotency, intake, natural_keys, outcome, resolver
from gateway.dispatch.accepted import Rows
from gateway.dispatch.conclusion import Consequences
from gateway.dispatch.executor import Executor
from gateway.dispatch.resolver import Resolver
from gateway.dispatch.sender import Sender
from gateway.dispatch.sides import ErpSides
from gateway.errors import StoreUnavailable
from gateway.ledger import journal, slices, states
from gateway.ledger.states import DeliveryEvent, DeliveryState
from gateway.routing.stage import Stage
from gateway.switchover import moves
from tests.simulation.erp import Product
from tests.simulation.scenario import ENTITIES, Scenario, scenario

Planting = contextlib.AbstractContextManager[None]


class Bug(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    plant: Callable[[], Planting]
    scenario: Callable[[int], Scenario]
    laws: frozenset[str]  #: one of these must catch it


BUGS: dict[str, Bug] = {}


@contextlib.contextmanager
def planted(name: str) -> Iterator[None]:
    """The program with this bug, while the block lasts."""
    with BUGS[name].plant():
        yield


def bug(
    what: str, *laws: str, where: Callable[[int], Scenario]
) -> Callable[[Callable[[], Planting]], Callable[[], Planting]]:
    def keep(plant: Callable[[], Planting]) -> Callable[[], Planting]:
        BUGS[plant.__name__] = Bug(what=what, plant=plant, scenario=where, laws=frozenset(laws))
        return plant

    return keep


@contextlib.contextmanager
def _with(owner: Any, name: str, value: Any) -> Iterator[None]:
    kept = vars(owner)[name]  # as it stands there: a static method, too
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)


@contextlib.contextmanager
def _entry(table: Mapping[Any, Any], key: Any, value: Any) -> Iterator[None]:
    assert isinstance(table, MutableMapping)
    kept = table[key]
    table[key] = value
    try:
        yield
    finally:
        table[key] = kept


def _products(kind: str, **changes: Any) -> dict[str, Product]:
    plain: dict[str, Any] = {
        "idempotency": Idempotency(kind),
        "conditional": False,
        "max_processing_s": 20.0,
        "read_lag_s": 0.0,
        "search_lag_s": 0.0,
        "timeout_s": 2.0,
        "unique_numbers": kind == "C",
        "numbers": False,
        "answers_record": True,
        "name_length": None,
    }
    return {system: Product(system=system, **{**plain, **changes}) for system in ("legacy", "cloud")}


def _where(kind: str, *faults: str, **changes: Any) -> Callable[[int], Scenario]:
    """Systems of one class, with a few faults that come often."""
    product = {name: changes.pop(name) for name in list(changes) if name in Product.__struct_fields__}

    def made(seed: int) -> Scenario:
        settled: dict[str, Any] = {
            "faults": frozenset(faults),
            "rate": 0.4,
            "products": _products(kind, **product),
            "stages": dict.fromkeys(ENTITIES, Stage.DUAL_WRITE),
            "storable": dict.fromkeys(ENTITIES, True),
            "replicas": 3,
            "embedded": False,
            "clients": 3,
            "operations": 9,
            "records": 5,
            "moves": 0,
            "pace_s": 0.5,
        }
        return scenario(seed, **{**settled, **changes})

    return made


# --- looking before sending again ------------------------------------------------------------------------------


@bug("a call without an answer is sent again, and nobody looks", "C2", where=_where("D", "answer lost"))
def resend_without_look() -> Planting:
    def unknown(self: Sender, adapter: Any, claim: Any, cause: Any) -> Any:
        return self._later(claim, "timeout", cause.message, wait_s=0.5, reached=True)

    return _with(Sender, "_unknown", unknown)


@bug("class D is sent again at once when a look finds nothing", "C2", where=_where("D", "late landing"))
def no_quarantine() -> Planting:
    return _with(Sender, "quarantine_s", lambda self, adapter, entity: -60.0)


@bug(
    "the quarantine counts from the claim and not from the end of its lease",
    "C2",
    where=_where(
        "D", "late landing", "delay",
        timeout_s=4.0, max_processing_s=6.0, lease_margin_s=9.0,
        rate=0.7, kinds=("customer",), records=20, numbered=1.0,
    ),
)  # fmt: skip
def quarantine_from_claim() -> Planting:
    original = Sender.quarantine_s

    def quarantine_s(self: Sender, adapter: Any, entity: str) -> float:
        return original(self, adapter, entity) - 13.0

    return _with(Sender, "quarantine_s", quarantine_s)


@bug(
    "an expired lease makes a delivery ready", "C2", where=_where("D", "crash", "pause", "delay", pace_s=1.5)
)
def lease_to_ready() -> Planting:
    return _entry(
        states.DELIVERY_MOVES, (DeliveryState.SENDING, DeliveryEvent.LEASE_EXPIRED), DeliveryState.READY
    )


@bug(
    "a system that offers nothing is sent the same once more",
    "C2",
    where=_where("E", "answer lost", stages=dict.fromkeys(ENTITIES, Stage.LEGACY_ONLY)),
)
def class_e_resent() -> Planting:
    original = Resolver._absent

    def absent(self: Resolver, adapter: Any, one: Any) -> Any:
        if adapter.facts(one.claim.entity).idempotency is Idempotency.E_NOTHING:
            return resolver._ready(one.claim)
        return original(self, adapter, one)

    return _with(Resolver, "_absent", absent)


@bug(
    "a change is sent again at once where only records are told apart",
    "C2",
    where=_where(
        "C", "late landing", "error with effect", "direct edit",
        read_lag_s=3.0, records=3, operations=12, kinds=("customer",), numbered=1.0,
    ),
)  # fmt: skip
def class_c_change_resent() -> Planting:
    return _with(resolver, "_offered", lambda adapter, claim: adapter.facts(claim.entity).idempotency)


@bug("whatever a look finds is taken for our own", "C1", "C9", where=_where("D", "request lost", "hang"))
def anything_is_ours() -> Planting:
    return _with(resolver, "is_ours", lambda adapter, one, found: True)


@bug(
    "the next write does not wait for an older attempt that may still land",
    "C3",
    where=_where("B", "late landing", "hang", records=3, operations=12, kinds=("customer",)),
)
def no_rest_after_resend() -> Planting:
    return _with(Sender, "_may_still_land", staticmethod(lambda claim, receipt, event: False))


@bug(
    "a mirror write that may have been sent is overtaken by the next",
    "C2", "C3", "C4",
    where=_where(
        "B", "late landing", "error without effect", "request lost",
        records=2, operations=12, pace_s=0.2, kinds=("customer",),
    ),
)  # fmt: skip
def overtakes_the_uncertain() -> Planting:
    return _with(
        journal, "_may_be_overtaken", lambda one, latest: one.role == "mirror" and one.entity in latest
    )


# --- tokens, lanes, order ---------------------------------------------------------------------------------------


@bug(
    "an outcome counts whatever the number of its attempt",
    "C3",
    where=_where(
        "C",
        lease_margin_s=0.2,
        numbered=1.0,
        script={key: ["refused, and its replica stops", "slow"] for key in ("legacy", "cloud")},
    ),
)
def no_attempt_number() -> Planting:
    def is_current(one: Any, row: Any) -> bool:
        waits = DeliveryState.UNKNOWN if one.event in conclusion.LOOKS else DeliveryState.SENDING
        return row.state == waits.value

    return _with(outcome, "is_current", is_current)


@bug(
    "two conclusions of one attempt are both counted",
    "own", "C1",
    where=_where("D", "pause", "crash", "late landing", pace_s=1.5),
)  # fmt: skip
def every_outcome_counts() -> Planting:
    return _with(outcome, "is_current", lambda one, row: True)


@bug(
    "the newest write of a lane goes first",
    "C3",
    where=_where("A", "request lost", "error without effect", "outage", records=3, operations=12, pace_s=0.2),
)
def head_of_line_ignored() -> Planting:
    def head_of(deliveries: Any, latest: Any) -> Any:
        ready = [one for one in deliveries if one.state == DeliveryState.READY]
        return ready[-1] if ready else None

    return _with(journal, "head_of", head_of)


@bug("a lane is never given up", "C1", where=_where("D", "error without effect"))
def lane_never_freed() -> Planting:
    return _with(Consequences, "free", lambda self, key: None)


@bug("the mirror goes before the authority has answered", "C1", "C4", where=_where("D", "delay"))
def mirror_first() -> Planting:
    original = Rows.write

    def write(self: Rows, connection: Connection, made: Any) -> None:
        for line in self.deliveries:
            if line["role"] == "mirror":
                line.update(state=DeliveryState.READY.value, wake_at=self.now)
                lane = self.lanes.get((line["record_id"], line["system"]))
                if lane is not None:
                    lane["wake_at"] = self.now
        original(self, connection, made)

    return _with(Rows, "write", write)


@bug("what the authority has applied does not reach its mirror", "C1", where=_where("D"))
def mirror_forgotten() -> Planting:
    return _with(Consequences, "unblock", lambda self, op: None)


# --- moves of authority -----------------------------------------------------------------------------------------

_MOVING = {"stages": dict.fromkeys(ENTITIES, Stage.SHADOW), "moves": 4, "pace_s": 0.3, "operations": 14}


@bug(
    "a write is accepted under a rule that a process remembers",
    "C8",
    "C9",
    "C1",
    where=_where("D", **_MOVING),
)
def rule_from_memory() -> Planting:
    looks: list[int] = [0]
    seen: list[Any] = [{}]

    def read(connection: Connection, keys: Any = None) -> Any:
        # Two processes in turn: one looks each time, the other remembers what it saw forty looks ago.
        looks[0] += 1
        if looks[0] % 40 == 1 or not all(key in seen[0] for key in keys):
            seen[0] = slices.read(connection)
        if looks[0] % 2:
            return slices.read(connection, keys)
        return {key: seen[0][key] for key in keys}

    remembering = SimpleNamespace(lock_shared=slices.lock_shared, read=read, read_regions=read)
    return _with(intake, "slices", remembering)


@bug(
    "authority moves while writes of the old epoch are under way", "C8", where=_where("D", "delay", **_MOVING)
)
def no_drain() -> Planting:
    # Both looks: the one that waits, and the one in the commit.
    return _with(moves, "moving", lambda connection, key, epoch: 0)


# --- keys, numbers, answers -------------------------------------------------------------------------------------


@bug("a key that was used is taken for a new one", "C7", where=_where("D", "client gone"))
def keys_forgotten() -> Planting:
    return _with(idempotency, "reserve", lambda connection, intents, now: {})


@bug("a number may be given twice", "C10", where=_where("D", records=10, operations=12))
def numbers_not_reserved() -> Planting:
    return _with(natural_keys, "reserve", lambda connection, wanted: dict(wanted))


@bug("the number of a refused record stays taken", "C10", where=_where("D", "refusals"))
def numbers_not_released() -> Planting:
    return _with(natural_keys, "release", lambda connection, record_ids: None)


@bug("a lost answer to COMMIT is told as 503 without a look", "C6", where=_where("D", "commit lost"))
def commit_not_looked_up() -> Planting:
    async def perhaps(self: Executor, intent: Any, until: float) -> Any:
        raise StoreUnavailable(retry_after_s=1)

    return _with(executor.Executor, "_perhaps_accepted", perhaps)


# --- evidence ---------------------------------------------------------------------------------------------------

_CLOSELY = {"closely": True, "stages": dict.fromkeys(ENTITIES, Stage.SHADOW)}


@bug(
    "what is on its way is compared all the same, and told at first sight",
    "C15",
    where=_where("D", "delay", **_CLOSELY),
)
def compared_in_motion() -> Planting:
    original = ErpSides.fence

    async def fence(self: ErpSides, record_id: str) -> Fence:
        there = await original(self, record_id)
        return msgspec.structs.replace(there, open_deliveries=0, versions=(), quiet_since=0)

    def at_once(diffs: Diffs, sight: Any, before: Any, **more: Any) -> Settled:
        return at_first_sight(diffs) or Settled(verdict=Verdict.MISMATCH)

    async def nothing(self: ErpSides, record_id: str, shown: Any) -> None:
        return None

    @contextlib.contextmanager
    def plant() -> Iterator[None]:
        with _with(ErpSides, "fence", fence), _with(ErpSides, "unshown", nothing), _with(comparer, "judge", at_once):
            yield

    return plant()


@bug("a difference that is gone is told for ever", "C15", where=_where("D", "direct edit", "refusals", **_CLOSELY))
def mismatch_for_ever() -> Planting:
    return _with(compared, "SETTLING", frozenset())


@bug("comparing looks at nothing and finds that all is well", "C15", where=_where("D", "direct edit", **_CLOSELY))
def looks_away() -> Planting:
    return _with(Eye, "_parted", lambda self, *sides: Diffs(compared=1))


@bug("a backfill ends with its first chunk", "C15", where=_where("D", **_CLOSELY))
def chunks_forgotten() -> Planting:
    original = Steps._page

    async def page(self: Steps, work: Any, limit: int) -> Page:
        return msgspec.structs.replace(await original(self, work, limit), next_cursor=None)

    return _with(Steps, "_page", page)
