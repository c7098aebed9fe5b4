"""The steps of a history, as Hypothesis draws them. What is drawn first, and shrunk to, is the plain case."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.backfill.run import Act
from gateway.canonical import BY_NAME
from gateway.routing.stage import Stage
from tests.model import judge, wishes
from tests.model.operator import Operator
from tests.model.stepped import SYSTEMS, SteppedWorld, product, scenario
from tests.model.streams import Streams
from tests.model.wishes import Wish
from tests.simulation.callers import Known
from tests.simulation.check import Verdict
from tests.simulation.erp import EDITED
from tests.simulation.loop import Loop
from tests.simulation.scenario import ENTITIES
from tests.simulation.store import Store

#: What may happen to the next call that changes something.
FAULTS = (
    "answer lost", "late landing", "request lost", "error with effect", "error without effect", "throttled",
    "hang", "delay", "garbage answer", "request doubled",
)  # fmt: skip


#: After so many histories memory is collected: each time costs as much as a history.
COLLECTED = 20


class BrokenLaw(AssertionError):
    """A history has broken a law: the message says which, and what it is about."""


class How(msgspec.Struct, frozen=True, kw_only=True):
    """How something is asked for. ``wait_s``: for so long a caller waits for the outcome; ``takes_s``: how much time
    the step takes, so that the next one comes while this is under way; ``times``: so often at once; ``meets``: what
    happens to the next call of a system; ``commit``: what becomes of the answer to the next commit; ``stops``: what
    each replica does at the end of the step, whatever it has in hand."""

    client: str
    keyed: bool
    wait_s: float
    takes_s: float
    times: int
    patience_s: float | None
    meets: tuple[str, str] | None
    commit: str | None = None
    stops: str | None = None


#: Nothing, for most: a few faults in a history are found again in its end, and many hide each other.
SELDOM: tuple[None, ...] = (None,) * 8
TAKES = st.sampled_from((1.0, 0.05, 0.01, 0.003, 0.0))
HOW = st.builds(
    How,
    client=st.sampled_from(("erp", "shop")),
    keyed=st.sampled_from((True, True, True, False)),
    wait_s=st.sampled_from((2.0, 5.0, 0.0)),
    takes_s=TAKES,
    times=st.sampled_from((1, 1, 1, 2, 3)),
    patience_s=st.sampled_from((None, None, None, None, 0.02)),
    meets=st.sampled_from((None, None, *((system, fault) for system in SYSTEMS for fault in FAULTS))),
    commit=st.sampled_from((*SELDOM, "lost", "failed")),
    stops=st.sampled_from((*SELDOM, "dies", "stands still")),
)
#: What a replica's loops do.
LOOKS = ("deliver", "resolve", "reap", "replay", "switch", "backfill", "compare", "merges")
#: Which one of those that there are.
WHICH = st.integers(0, 30)
# The plain case more often: a history in which everything is refused shows little.
NUMBERS = st.sampled_from((None, None, None, 1, 2, 3))
BARRED = st.sampled_from((None, None, None, None, *SYSTEMS))
PLACES = st.integers(0, 1)
PLACES_ALL = (0, 1)
PRODUCTS = st.builds(
    dict,
    kind=st.sampled_from("DABCE"),
    conditional=st.booleans(),
    unique_numbers=st.booleans(),
    numbers=st.booleans(),
    answers_record=st.booleans(),
)
#: Most near the move of authority.
STAGES = st.sampled_from(
    (Stage.DUAL_WRITE, Stage.SHADOW, Stage.SHADOW, Stage.LIVE, Stage.LIVE, Stage.RAMP_DOWN, Stage.LEGACY_ONLY)
)


class Ledger(RuleBasedStateMachine):
    """One history on the store that ``store`` makes."""

    store: Callable[[Loop, random.Random], Store] = Store
    world: SteppedWorld
    streams: Streams
    operator: Operator
    failed = False
    ended = 0  #: histories of this process

    @initialize(
        seed=st.integers(0, 2**16),
        legacy=PRODUCTS,
        cloud=PRODUCTS,
        stages=st.tuples(STAGES, STAGES, STAGES),
        storable=st.sampled_from((True, True, False)),
        alone=st.booleans(),
        eager=st.booleans(),
        customers=st.integers(1, 2),
        closely=st.sampled_from((True, False, False)),
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
        customers: int,
        closely: bool,
    ) -> None:
        made = scenario(
            seed=seed,
            products={"legacy": product("legacy", **legacy), "cloud": product("cloud", **cloud)},
            stages=dict(zip(ENTITIES, stages, strict=True)),
            storable=storable,
            alone=alone,
            closely=closely,
        )
        self.world = SteppedWorld(made, type(self).store, eager=eager)
        self.streams = Streams(made.products)
        self.operator = Operator(self.world, self.streams)
        plain = How(client="erp", keyed=True, wait_s=2.0, takes_s=0.2, times=1, patience_s=None, meets=None)
        for _ in range(customers):
            self.create_customer(plain, None, None)

    # --- callers -----------------------------------------------------------------------------------------------

    def _ask(self, wish: Wish, how: How) -> None:
        if how.meets is not None:
            system, fault = how.meets
            self.world.weather[system].script.append(fault)
        if how.commit is not None:
            self.world.store.faults.script.append(how.commit)
        self.streams.wishes[wish.request] = wish
        for _ in range(how.times):
            wish.asked += 1
            self.world.ask_for(wish.client, wish.command, wish.asked, how.patience_s)
        self.world.tick(how.takes_s)
        if how.stops is not None:
            for place in range(len(self.world.replicas)):
                self.stop_a_replica(place, how.stops == "dies")

    def _request(self) -> int:
        self.world.shared.requests += 1
        return self.world.shared.requests

    def _known(self, entity: str | None = None) -> list[Known]:
        return [one for one in self.world.shared.records.values() if entity in (None, one.entity)]

    def _keyed(self) -> list[Wish]:
        """The latest first."""
        return [wish for wish in reversed(self.streams.wishes.values()) if wish.key is not None]

    def _create(
        self, entity: str, how: How, number: int | None, barred: str | None, customer: str | None
    ) -> None:
        wish = wishes.create(
            self._request(), how.client, entity, number=number, barred=barred, customer=customer,
            wait_s=how.wait_s, keyed=how.keyed or entity == "invoice",
        )  # fmt: skip
        self._ask(wish, how)

    def _update(
        self, how: How, record: Known, field: int, number: int, barred: str | None, if_match: int | None
    ) -> None:
        wish = wishes.update(
            self._request(), how.client, record, wishes.CHANGES[record.entity][field], number=number,
            barred=barred, if_match=if_match, wait_s=how.wait_s, keyed=how.keyed,
        )  # fmt: skip
        self._ask(wish, how)

    @rule(how=HOW, number=NUMBERS, barred=BARRED)
    def create_customer(self, how: How, number: int | None, barred: str | None) -> None:
        self._create("customer", how, number, barred, None)

    @precondition(lambda self: self._known("customer"))
    @rule(entity=st.sampled_from(("project", "invoice")), which=WHICH, how=HOW, number=NUMBERS, barred=BARRED)
    def create_for_customer(
        self, entity: str, which: int, how: How, number: int | None, barred: str | None
    ) -> None:
        customers = self._known("customer")
        self._create(entity, how, number, barred, customers[which % len(customers)].id)

    @precondition(lambda self: self._known())
    @rule(which=WHICH, field=st.integers(0, 2), how=HOW, number=st.integers(1, 3), barred=BARRED)
    def update(self, which: int, field: int, how: How, number: int, barred: str | None) -> None:
        known = self._known()
        self._update(how, known[which % len(known)], field, number, barred, None)

    @precondition(lambda self: self._known())
    @rule(which=WHICH, field=st.integers(0, 2), how=HOW, number=st.integers(1, 3), behind=st.integers(0, 1))
    def update_on_a_condition(self, which: int, field: int, how: How, number: int, behind: int) -> None:
        """It is meant for the version that was told last, or for one that is behind it."""
        known = self._known()
        record = known[which % len(known)]
        self._update(how, record, field, number, None, max(1, record.version - behind))

    @precondition(lambda self: self._known())
    @rule(which=WHICH, to=st.integers(0, 3), how=HOW)
    def transition(self, which: int, to: int, how: How) -> None:
        known = self._known()
        record = known[which % len(known)]
        lifecycle = BY_NAME[record.entity].lifecycle
        legal = lifecycle.legal(record.state or lifecycle.initial) or lifecycle.states
        wish = wishes.transition(
            self._request(), how.client, record, legal[to % len(legal)], if_match=None, wait_s=how.wait_s
        )
        self._ask(wish, how)

    @precondition(lambda self: self._keyed())
    @rule(which=WHICH, how=HOW)
    def repeat_a_key(self, which: int, how: How) -> None:
        keyed = self._keyed()
        self._ask(keyed[which % len(keyed)], how)

    @precondition(lambda self: self._keyed())
    @rule(which=WHICH, how=HOW)
    def repeat_a_key_with_another_body(self, which: int, how: How) -> None:
        keyed = self._keyed()
        self._ask(wishes.with_another_body(keyed[which % len(keyed)], self._request()), how)

    # --- systems -----------------------------------------------------------------------------------------------

    @rule(system=st.sampled_from(SYSTEMS), seconds=st.sampled_from((0.0, 4.0, 20.0, 60.0)))
    def system_down(self, system: str, seconds: float) -> None:
        """Nobody reaches it for so long; 0: it is there again."""
        self.world.weather[system].down_until = self.world.loop.time() + seconds

    @rule(system=st.sampled_from(SYSTEMS), entity=st.sampled_from(sorted(EDITED)), which=WHICH)
    def direct_edit(self, system: str, entity: str, which: int) -> None:
        erp = self.world.erps[system]
        natives = sorted(erp.holds(entity))
        if natives:
            self.streams.edited = True
            erp.edit(entity, natives[which % len(natives)], f"edit{len(self.world.effects)}@example.com")

    @rule(
        systems=st.sampled_from((("legacy", "cloud"), ("legacy",), ("cloud",))),
        number=st.sampled_from((1, 2, 3, None)),
        different=st.booleans(),
    )
    def enter_by_hand(self, systems: tuple[str, ...], number: int | None, different: bool) -> None:
        """Somebody makes a customer in one system, or in both, with the same name or not."""
        for system in systems:
            self.streams.edited = True
            made = len(self.world.effects) if different else 0
            self.streams.entered.add(number)
            wanted = wishes.entered(number, f"by hand {made}")
            self.world.erps[system].enter("customer", wanted)

    # --- replicas ----------------------------------------------------------------------------------------------

    @rule(place=PLACES, what=st.sampled_from(LOOKS))
    def look_once(self, place: int, what: str) -> None:
        """A replica sends what is due, looks for writes of unknown outcome or for leases that have run out, takes the
        next chunk of a replay or of a backfill, compares what is due, or goes on with switches and with what an
        emergency has left behind."""
        self.world.look_once(place, what)

    @rule(place=PLACES, rounds=st.sampled_from((3, 10, 30)))
    def work(self, place: int, rounds: int) -> None:
        """A replica does all that for so many seconds."""
        for _ in range(rounds):
            for what in ("reap", "resolve", "deliver"):
                self.world.look_once(place, what)
            self.world.tick(1.0)

    @rule(place=PLACES, dies=st.booleans())
    def stop_a_replica(self, place: int, dies: bool) -> None:
        """It dies and is started again, or stands still for longer than any lease that it holds."""
        if dies:
            self.world.crash_and_restart(place)
        else:
            self.world.stand_still(place)

    @rule(seconds=st.sampled_from((0.05, 1.0, 3.0, 8.0, 16.0, 40.0)))
    def tick(self, seconds: float) -> None:
        self.world.tick(seconds)

    # --- people ------------------------------------------------------------------------------------------------

    @rule(
        entity=st.sampled_from(ENTITIES),
        step=st.sampled_from((1, -1)),
        override=st.sampled_from((True, True, False)),
        patience_s=st.sampled_from((60.0, 60.0, 2.0, 0.2)),
        takes_s=TAKES,
        rounds=st.sampled_from((4, 0)),
        busy=st.none() | HOW,
        # Seldom: in a history that is full of emergencies little else is found.
        dead_s=st.sampled_from((*SELDOM, 4.0, 20.0)),
    )
    def move_authority(
        self,
        entity: str,
        step: int,
        override: bool,
        patience_s: float,
        takes_s: float,
        rounds: int,
        busy: How | None,
        dead_s: float | None,
    ) -> None:
        """``patience_s``: whoever moves it gives up after so long, which aborts a move that still drains. ``rounds``:
        so many seconds of work go into the drain. ``busy``: a write is on its way when it begins. ``dead_s``: for so
        long the cloud answers nobody, and two persons switch back in an emergency; the second takes ``takes_s``."""
        known = self._known(entity)
        if busy is not None and known:
            self._update(busy, known[0], 0, 1, None, None)
        if dead_s is None:
            self.operator.move(entity, step, override=override, patience_s=patience_s)
        else:
            cloud = self.world.weather["cloud"]
            cloud.down_until = max(cloud.down_until, self.world.loop.time() + dead_s)
            self.operator.leave(entity, override=override, thinks_s=takes_s / 2)
        self.world.tick(takes_s)
        self.work(0, rounds)

    @precondition(lambda self: self._operations())
    @rule(which=WHICH, takes_s=TAKES)
    def cancel(self, which: int, takes_s: float) -> None:
        known = self._operations()
        self.operator.cancel(known[which % len(known)])
        self.world.tick(takes_s)

    def _operations(self) -> list[str]:
        """Those that callers were told of, the latest first."""
        told = (one.operation for one in reversed(self.world.shared.said))
        return [*dict.fromkeys(one for one in told if one is not None)]

    @rule(which=WHICH, how=st.integers(0, 4), takes_s=TAKES)
    def decide_a_case(self, which: int, how: int, takes_s: float) -> None:
        """Sent again, found applied, refused, or the difference is accepted."""
        cases = self.operator.open_cases()
        if cases:
            self.operator.decide(cases[which % len(cases)], how)
            self.world.tick(takes_s)

    @rule(takes_s=TAKES)
    def replay_dead_letters(self, takes_s: float) -> None:
        self.operator.replay_all(self.world.history())
        self.world.tick(takes_s)

    @rule(entity=st.sampled_from(ENTITIES), place=PLACES, rounds=st.sampled_from((0, 1, 3)), busy=st.none() | HOW)
    def backfill(self, entity: str, place: int, rounds: int, busy: How | None) -> None:
        """A slice that keeps one system gets its other one first. ``busy``: a write of one of its records is on its way
        when the backfill begins. ``rounds``: so many chunks are taken at once, and what they bring is sent."""
        self.operator.open_mirror(entity)
        self.world.tick(1.0)
        self.operator.backfill(entity)
        self.world.tick(0.05)
        known = self._known(entity)
        if busy is not None and known:
            self._update(busy, known[0], 0, 1, None, None)
        for _ in range(rounds):
            self.world.look_once(place, "backfill")
            self.world.tick(0.6)
            self.world.look_once(place, "deliver")

    @rule(act=st.sampled_from(Act))
    def act_on_backfills(self, act: Act) -> None:
        self.operator.act_on_backfills(act)
        self.world.tick(0.05)

    @precondition(lambda self: len(self._known()) > 1)
    @rule(
        which=WHICH, other=WHICH, both=st.sampled_from((True, True, True, False)), rounds=st.sampled_from((10, 3, 0)),
        busy=st.none() | HOW, takes_s=TAKES, referred=st.booleans(), late=st.booleans(),
    )  # fmt: skip
    def merge(
        self,
        which: int,
        other: int,
        both: bool,
        rounds: int,
        busy: How | None,
        takes_s: float,
        referred: bool,
        late: bool,
    ) -> None:
        """Two persons merge two records of one entity. ``rounds``: so many seconds of work go before, so that nothing
        of them is open. ``busy``: a write of the loser is on its way when it begins. ``referred``: a record that
        refers to the loser is created after it. ``late``: the loser is a customer that was just made, and where its
        slice had one system only, the other one as well has it, which never had those of before."""
        plain = How(client="shop", keyed=True, wait_s=2.0, takes_s=1.0, times=1, patience_s=None, meets=None)
        if late:
            self.operator.open_mirror("customer")
            self.world.tick(1.0)
            self._create("customer", plain, None, None, None)
        known = self._known()
        customers = self._known("customer")
        loser = customers[-1] if late and customers else known[which % len(known)]
        others = [one for one in self._known(loser.entity) if one is not loser]
        if not others:
            return
        self.work(0, rounds)
        if busy is not None:
            self._update(busy, loser, 0, 1, None, None)
        self.operator.merge(loser.id, others[other % len(others)].id, both=both, thinks_s=takes_s / 4)
        self.world.tick(takes_s)
        for place in PLACES_ALL:
            self.world.look_once(place, "merges")
        if referred and loser.entity == "customer":
            self._create("project", plain, None, None, loser.id)

    @precondition(lambda self: self.streams.merged)
    @rule(which=WHICH, rounds=st.sampled_from((0, 3)), takes_s=TAKES)
    def split(self, which: int, rounds: int, takes_s: float) -> None:
        """Two persons take a merge back."""
        done = sorted(self.streams.merged)
        self.work(0, rounds)
        self.operator.split(done[which % len(done)], thinks_s=takes_s / 4)
        self.world.tick(takes_s)
        for place in PLACES_ALL:
            self.world.look_once(place, "merges")

    # --- the judge ---------------------------------------------------------------------------------------------

    @invariant()
    def laws(self) -> None:
        self.judged(judge.in_between(self.world, self.streams))

    def judged(self, verdicts: list[Verdict]) -> None:
        if verdicts:
            self.failed = True
            raise BrokenLaw("\n".join(str(one) for one in verdicts))

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if not self.failed:
                self.judged(judge.at_rest(self.world, self.streams))
        finally:
            self.world.end()
            Ledger.ended += 1
            if Ledger.ended % COLLECTED == 0:
                gc.collect()
