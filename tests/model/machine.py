"""The steps of a history, as Hypothesis draws them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.canonical import BY_NAME
from gateway.ledger.invariants import broken, extent
from gateway.routing.stage import Stage
from tests.model import wishes
from tests.model.operator import Operator
from tests.model.stepped import SYSTEMS, SteppedWorld, product, scenario
from tests.model.streams import Streams
from tests.model.wishes import Wish
from tests.simulation import check
from tests.simulation.callers import Known
from tests.simulation.check import Verdict
from tests.simulation.erp import EDITED
from tests.simulation.history import History
from tests.simulation.loop import Loop
from tests.simulation.scenario import ENTITIES
from tests.simulation.store import Store

#: Laws of the checker that hold at any moment and not only at the end.
AT_ANY_MOMENT = (
    check.doubled,
    check.reordered,
    check.at_once,
    check.phantom,
    check.out_of_time,
    check.untruthful,
    check.replayed,
    check.two_authorities,
    check.own_faults,
)
#: What may happen to the next call that changes something.
FAULTS = (
    "answer lost", "late landing", "request lost", "error with effect", "error without effect", "throttled",
    "hang", "delay", "garbage answer", "request doubled",
)  # fmt: skip

CLIENTS = st.sampled_from(("erp", "shop"))
#: Which one of those that there are; the first is the simplest.
WHICH = st.integers(0, 30)
NUMBERS = st.none() | st.integers(1, 3)
BARRED = st.none() | st.sampled_from(SYSTEMS)
#: How long a caller waits for an outcome, and how much time the step takes.
WAITS = st.sampled_from((0.0, 2.0, 5.0))
TAKES = st.sampled_from((1.0, 0.05, 0.01, 0.003, 0.0))
PLACES = st.integers(0, 1)
PRODUCTS = st.builds(
    dict,
    kind=st.sampled_from("DABCE"),
    conditional=st.booleans(),
    unique_numbers=st.booleans(),
    numbers=st.booleans(),
    answers_record=st.booleans(),
)
STAGES = st.sampled_from((Stage.DUAL_WRITE, Stage.SHADOW, Stage.LIVE, Stage.RAMP_DOWN, Stage.LEGACY_ONLY))


class Ledger(RuleBasedStateMachine):
    """One history on the store that ``store`` makes."""

    store: Callable[[Loop, random.Random], Store] = Store
    world: SteppedWorld
    streams: Streams
    operator: Operator
    failed = False

    @initialize(
        seed=st.integers(0, 2**16),
        legacy=PRODUCTS,
        cloud=PRODUCTS,
        stages=st.tuples(STAGES, STAGES, STAGES),
        storable=st.booleans(),
        alone=st.booleans(),
        eager=st.booleans(),
    )
    def begin(
        self,
        seed: int,
        legacy: dict[str, Any],
        cloud: dict[str, Any],
        stages: tuple[Stage, ...],
        storable: bool,
        alone: bool,
        eager: bool,
    ) -> None:
        made = scenario(
            seed=seed,
            products={"legacy": product("legacy", **legacy), "cloud": product("cloud", **cloud)},
            stages=dict(zip(ENTITIES, stages, strict=True)),
            storable=storable,
            alone=alone,
        )
        self.world = SteppedWorld(made, type(self).store, eager=eager)
        self.streams = Streams(made.products)
        self.operator = Operator(self.world, self.streams)

    # --- callers -----------------------------------------------------------------------------------------------

    def _request(self) -> int:
        self.world.shared.requests += 1
        return self.world.shared.requests

    def _known(self, entity: str | None = None) -> list[Known]:
        records = self.world.shared.records.values()
        return [one for one in records if entity in (None, one.entity)]

    def _ask(self, wish: Wish, takes: float, patience_s: float | None = None) -> None:
        wish.asked += 1
        self.world.ask_for(wish.client, wish.command, wish.asked, patience_s)
        self.world.tick(takes)

    @rule(client=CLIENTS, number=NUMBERS, barred=BARRED, wait_s=WAITS, takes=TAKES, keyed=st.booleans())
    def create_customer(
        self, client: str, number: int | None, barred: str | None, wait_s: float, takes: float, keyed: bool
    ) -> None:
        wish = wishes.create(
            self._request(), client, "customer", number=number, barred=barred, customer=None, wait_s=wait_s,
            keyed=keyed,
        )  # fmt: skip
        self._ask(self.streams.wish(wish), takes)

    @precondition(lambda self: self._known("customer"))
    @rule(
        client=CLIENTS, entity=st.sampled_from(("project", "invoice")), which=WHICH, number=NUMBERS,
        barred=BARRED, wait_s=WAITS, takes=TAKES,
    )  # fmt: skip
    def create_for_customer(
        self, client: str, entity: str, which: int, number: int | None, barred: str | None, wait_s: float,
        takes: float,
    ) -> None:  # fmt: skip
        known = self._known("customer")
        customer = known[which % len(known)].id
        wish = wishes.create(
            self._request(), client, entity, number=number, barred=barred, customer=customer, wait_s=wait_s
        )
        self._ask(self.streams.wish(wish), takes)

    @precondition(lambda self: self._known())
    @rule(
        client=CLIENTS, which=WHICH, field=st.integers(0, 2), number=st.integers(1, 3), barred=BARRED,
        stale=st.none() | st.integers(0, 1), wait_s=WAITS, takes=TAKES, keyed=st.booleans(),
    )  # fmt: skip
    def update(
        self, client: str, which: int, field: int, number: int, barred: str | None, stale: int | None,
        wait_s: float, takes: float, keyed: bool,
    ) -> None:  # fmt: skip
        """``stale``: the write is on a condition, and so many versions behind what was told last."""
        known = self._known()
        record = known[which % len(known)]
        wish = wishes.update(
            self._request(), client, record, wishes.CHANGES[record.entity][field], number=number, barred=barred,
            if_match=None if stale is None else max(1, record.version - stale), wait_s=wait_s, keyed=keyed,
        )  # fmt: skip
        self._ask(self.streams.wish(wish), takes)

    @precondition(lambda self: self._known())
    @rule(client=CLIENTS, which=WHICH, to=st.integers(0, 3), wait_s=WAITS, takes=TAKES)
    def transition(self, client: str, which: int, to: int, wait_s: float, takes: float) -> None:
        known = self._known()
        record = known[which % len(known)]
        lifecycle = BY_NAME[record.entity].lifecycle
        legal = lifecycle.legal(record.state or lifecycle.initial) or lifecycle.states
        wish = wishes.transition(
            self._request(), client, record, legal[to % len(legal)], if_match=None, wait_s=wait_s
        )
        self._ask(self.streams.wish(wish), takes)

    @precondition(lambda self: self._keyed())
    @rule(which=WHICH, times=st.integers(1, 3), takes=TAKES)
    def repeat_a_key(self, which: int, times: int, takes: float) -> None:
        """The same request again, the latest ones first; several times at once."""
        keyed = self._keyed()
        wish = keyed[-1 - which % len(keyed)]
        for _ in range(times):
            self._ask(wish, 0.0)
        self.world.tick(takes)

    @precondition(lambda self: self._keyed())
    @rule(which=WHICH, takes=TAKES)
    def repeat_a_key_with_another_body(self, which: int, takes: float) -> None:
        keyed = self._keyed()
        wish = wishes.with_another_body(keyed[-1 - which % len(keyed)], self._request())
        self._ask(self.streams.wish(wish), takes)

    def _keyed(self) -> list[Wish]:
        return [wish for wish in self.streams.wishes.values() if wish.key is not None]

    # --- systems -----------------------------------------------------------------------------------------------

    @rule(system=st.sampled_from(SYSTEMS), fault=st.sampled_from(FAULTS))
    def next_call_meets(self, system: str, fault: str) -> None:
        """An answer is lost, a request lands late, and whatever else may become of the next call."""
        self.world.weather[system].script.append(fault)

    @rule(system=st.sampled_from(SYSTEMS))
    def system_down(self, system: str) -> None:
        self.world.weather[system].down_until = float("inf")

    @rule(system=st.sampled_from(SYSTEMS))
    def system_up(self, system: str) -> None:
        self.world.weather[system].down_until = 0.0

    @rule(system=st.sampled_from(SYSTEMS), entity=st.sampled_from(sorted(EDITED)), which=WHICH)
    def direct_edit(self, system: str, entity: str, which: int) -> None:
        erp = self.world.erps[system]
        natives = sorted(erp.holds(entity))
        if natives:
            self.streams.edited = True
            erp.edit(entity, natives[which % len(natives)], f"edit{len(self.world.effects)}@example.com")

    # --- replicas ----------------------------------------------------------------------------------------------

    @rule(place=PLACES)
    def deliver(self, place: int) -> None:
        """Claims what is due, in every system, and sends it."""
        self.world.deliver(place)

    @rule(place=PLACES)
    def reap(self, place: int) -> None:
        """Finds leases that have run out."""
        self.world.at_replica(place, lambda replica: replica.resolver.reap())

    @rule(place=PLACES)
    def resolve(self, place: int) -> None:
        """Looks for writes of unknown outcome."""
        self.world.at_replica(place, lambda replica: replica.resolver.run_once())

    @rule(place=PLACES)
    def expire_leases(self, place: int) -> None:
        self.world.expire_leases(place)

    @rule(place=PLACES)
    def crash(self, place: int) -> None:
        self.world.crash_and_restart(place)

    @rule(seconds=st.sampled_from((0.05, 1.0, 3.0, 12.0, 40.0)))
    def tick(self, seconds: float) -> None:
        self.world.tick(seconds)

    # --- people ------------------------------------------------------------------------------------------------

    @rule(
        entity=st.sampled_from(ENTITIES), step=st.sampled_from((1, -1)), override=st.booleans(),
        patience_s=st.sampled_from((60.0, 2.0, 0.2)), takes=TAKES,
    )  # fmt: skip
    def move_authority(
        self, entity: str, step: int, override: bool, patience_s: float, takes: float
    ) -> None:
        """``patience_s``: whoever moves it gives up after so long, which aborts a move that still drains."""
        self.operator.move(entity, step, override=override, patience_s=patience_s)
        self.world.tick(takes)

    @precondition(lambda self: self._operations())
    @rule(which=WHICH, takes=TAKES)
    def cancel(self, which: int, takes: float) -> None:
        known = self._operations()
        self.operator.cancel(known[-1 - which % len(known)])
        self.world.tick(takes)

    def _operations(self) -> list[str]:
        return [*dict.fromkeys(one.operation for one in self.world.shared.said if one.operation is not None)]

    @rule(which=WHICH, how=st.integers(0, 4), takes=TAKES)
    def decide_a_case(self, which: int, how: int, takes: float) -> None:
        """Sent again, found applied, refused, or the difference is accepted."""
        cases = self.operator.open_cases()
        if cases:
            self.operator.decide(cases[which % len(cases)], how)
            self.world.tick(takes)

    @rule(takes=TAKES)
    def replay_dead_letters(self, takes: float) -> None:
        self.operator.replay_all(self.world.history())
        self.world.tick(takes)

    @rule(place=PLACES)
    def send_a_chunk_of_replays(self, place: int) -> None:
        self.world.at_replica(place, lambda replica: replica.replays.run_once())

    # --- the judge ---------------------------------------------------------------------------------------------

    @invariant()
    def keeps_what_holds_at_any_moment(self) -> None:
        history = self.world.history()
        facts = check.Facts(history)
        verdicts = [
            *self.streams.heard(history),
            *self.streams.held(history),
            *self._journal(),
            *(verdict for law in AT_ANY_MOMENT for verdict in law(facts)),
        ]
        self._judge(verdicts)

    def _journal(self) -> list[Verdict]:
        """The invariants of the ledger, over the whole journal."""
        world = self.world
        now = world.store.now()
        found = world.store.run(lambda conn: broken(conn, extent(conn, records=1000), now=now))
        return [
            Verdict(law=f"invariant {law}", what="broken", concerns=rows)
            for law, rows in found.items()
            if rows
        ]

    def _end(self) -> None:
        history: History = self.world.come_to_rest()
        verdicts = [
            *self.streams.heard(history),
            *self.streams.held(history),
            *self._journal(),
            *check.check(history),
        ]
        if not history.quiet:
            verdicts.append(
                Verdict(law="C1 lost", what="half an hour after all faults something was still open")
            )
        self._judge(verdicts)

    def _judge(self, verdicts: list[Verdict]) -> None:
        self.failed = bool(verdicts)
        assert not verdicts, "\n".join(str(one) for one in verdicts)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if not self.failed:
                self._end()
        finally:
            self.world.end()
