"""The contract of an adapter over a network that misbehaves: each protocol, each call, each fault.

Whatever the network does: a call ends with an answer that is right, or with the class of error that says no more than
is known. A write that may have landed is never called unsent, is sent once, and its marker finds it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from adapters.build import open_adapter
from adapters.contract import Adapter, Found, Query, Receipt, Write
from adapters.errors import AdapterError, OutcomeUnknown
from adapters.profile import load
from tests.systems.fault_proxy import Fault, FaultProxy
from tests.systems.sandbox import Sandbox
from tests.systems.tryton60.server import Tryton

pytestmark = pytest.mark.enable_socket

#: Seconds for a call; a line on which nothing comes is given up after so long.
HASTY_S, PATIENT_S = 1.0, 30.0
LANDS_S = 30.0  #: deadline for a write that was given up to be seen in the system


class Case(NamedTuple):
    fault: Fault
    landed: int  #: how often a write whose request this happens to is done
    heard: bool = False  #: whether its answer comes through


# fmt: off
SILENT: Literal["silence"] = "silence"
CASES = {
    #                                 what the network does                          landed  heard
    "latency and jitter":       Case(Fault(latency_s=0.02, jitter_s=0.05),           1,      True),
    "slices":                   Case(Fault(slice_bytes=17),                          1,      True),
    "a narrow line":            Case(Fault(bytes_per_s=20_000),                      1,      True),
    "reset before the request": Case(Fault(request_bytes=0),                         0),
    "closed before it":         Case(Fault(request_bytes=0, then="close"),           0),
    "lost on its way":          Case(Fault(request_bytes=0, then=SILENT),            0),
    "reset inside the request": Case(Fault(request_bytes=60),                        0),
    "closed inside it":         Case(Fault(request_bytes=60, then="close"),          0),
    "half of it, then silence": Case(Fault(request_bytes=60, then=SILENT),           0),
    "reset behind the request": Case(Fault(hurried=True),                            1),
    "answer dropped, reset":    Case(Fault(answer_bytes=0),                          1),
    "answer dropped, closed":   Case(Fault(answer_bytes=0, then="close"),            1),
    "half-open":                Case(Fault(answer_bytes=0, then=SILENT),             1),
    "reset in the answer":      Case(Fault(answer_bytes=40),                         1),
    "answer limited":           Case(Fault(answer_bytes=40, then="close"),           1),
    "answer, then silence":     Case(Fault(answer_bytes=40, then=SILENT),            1),
    "byte by byte":             Case(Fault(bytes_per_s=10),                          1),
}
# fmt: on


class System(NamedTuple):
    name: str
    profile: str
    base_url: str
    auth: Mapping[str, Any]
    options: Mapping[str, Any]
    is_write: Callable[[bytes], bool]

    def adapter(self, base_url: str, timeout_s: float) -> Adapter:
        profile = load(self.profile)
        limits = replace(profile.limits, timeout_s=timeout_s, requests_per_second=None)
        return open_adapter(self.name, replace(profile, limits=limits), base_url, self.auth, self.options)


class Place(NamedTuple):
    """One system: behind the proxy with two degrees of patience, and past it."""

    proxy: FaultProxy
    hasty: Adapter
    patient: Adapter
    direct: Adapter
    is_write: Callable[[bytes], bool]

    def under(self, case: Case) -> Adapter:
        """Who is to meet this fault: where nothing comes, nobody need wait for long."""
        return self.hasty if case.fault.then == SILENT or case is CASES["byte by byte"] else self.patient

    async def made(self) -> Found:
        """A record that is there."""
        write = customer()
        receipt = await self.direct.create(write)
        return await self.direct.fetch("customer", receipt.native_id)

    async def landed(self, marker: str, times: int) -> int:
        """How often the system has a write; one that is to be there may take a moment to get there."""
        until = time.monotonic() + LANDS_S
        while True:
            found = len(await self.direct.find("customer", marker=marker))
            if found >= times or time.monotonic() > until:
                return found
            await asyncio.sleep(0.02)  # between two looks at the state that is waited for


def by_verb(request: bytes) -> bool:
    return not request.startswith(b"GET ")


def by_method(request: bytes) -> bool:
    body = request.partition(b"\r\n\r\n")[2][:200]
    return any(word in body for word in (b'.create"', b'.write"'))


@pytest.fixture(scope="module")
def rest(sandbox_process: Sandbox) -> System:
    return System("legacy", "sandbox_legacy", sandbox_process.urls["legacy"], {}, {}, by_verb)


@pytest.fixture(scope="module")
def odata(sandbox_process: Sandbox) -> System:
    return System("cloud", "sandbox_cloud", sandbox_process.urls["cloud"], {}, {}, by_verb)


@pytest.fixture(scope="module")
def jsonrpc(tryton: Tryton) -> System:
    told = tryton.settings()
    return System("legacy", told["profile"], told["base_url"], told["auth"], told["options"], by_method)


@pytest.fixture(scope="module", params=["rest", "odata", pytest.param("jsonrpc", marks=pytest.mark.server)])
def system(request: pytest.FixtureRequest) -> System:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def proxy(system: System) -> Iterator[FaultProxy]:
    parts = urlsplit(system.base_url)
    with FaultProxy(str(parts.hostname), int(parts.port or 0)) as made:
        yield made


@pytest.fixture
async def place(system: System, proxy: FaultProxy) -> AsyncIterator[Place]:
    made = Place(
        proxy=proxy,
        hasty=system.adapter(proxy.base_url, HASTY_S),
        patient=system.adapter(proxy.base_url, PATIENT_S),
        direct=system.adapter(system.base_url, PATIENT_S),
        is_write=system.is_write,
    )
    yield made
    proxy.heal()
    for one in (made.hasty, made.patient, made.direct):
        await one.close()


def customer(**more: Any) -> Write:
    mark = uuid.uuid4().hex
    fields = {
        "name": "Nordlicht Werke AG",
        "number": f"N-{mark[:12]}",
        "state": "active",
        "email": "office@nordlicht.example",
        "phone": "+49 431 12345",
    }
    return Write(
        entity="customer", marker=f"op_{mark}", external_id=f"cus_{mark}", **{"fields": fields, **more}
    )


def change(found: Found, **more: Any) -> Write:
    return customer(native_id=found.native_id, native_version=found.native_version, **more)


async def outcome(call: Awaitable[Any]) -> Any:
    """The answer, or the error."""
    try:
        return await call
    except AdapterError as error:
        return error


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_a_read_is_right_or_fails(place: Place, case: Case) -> None:
    """A read whose answer comes through is what the system holds; one whose answer does not is told as such."""
    there = await place.made()
    adapter = place.under(case)
    calls: dict[str, Callable[[Adapter], Awaitable[Any]]] = {
        "fetch": lambda one: one.fetch("customer", there.native_id),
        "search": lambda one: one.search("customer", Query(where={"number": there.fields["number"]})),
        "find": lambda one: one.find("customer", marker=there.marker),
        "probe": lambda one: one.probe(),
    }
    right = {name: await call(place.direct) for name, call in calls.items()}
    assert (await adapter.probe()).ok  # signed on, where that is needed
    number = place.proxy.put(case.fault)
    heard = dict(
        zip(calls, await asyncio.gather(*(outcome(call(adapter)) for call in calls.values())), strict=True)
    )
    assert heard.pop("probe").ok is case.heard
    assert place.proxy.met(number) == len(calls)
    if case.heard:
        assert heard == {name: right[name] for name in heard}
    else:
        assert {name: isinstance(one, OutcomeUnknown) for name, one in heard.items()} == dict.fromkeys(
            heard, True
        ), heard


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_a_write_is_sent_once_and_never_called_unsent(place: Place, case: Case) -> None:
    """A write whose answer comes through has a receipt. Any other is of unknown outcome, whether it landed or not: it
    is not sent a second time, and its marker says what became of it."""
    writes = {
        "create": customer(),
        "update": change(await place.made(), fields={"phone": "+49 431 99999"}),
        "transition": change(await place.made(), fields={}, to_state="blocked"),
    }
    adapter = place.under(case)
    # Signed on, and the records that a write refers to are known: what fails from here on is the write itself.
    await adapter.create(customer())
    number = place.proxy.put(case.fault, when=place.is_write)
    answers = await asyncio.gather(
        outcome(adapter.create(writes["create"])),
        outcome(adapter.update(writes["update"])),
        outcome(adapter.transition(writes["transition"])),
    )
    heard = dict(zip(writes, answers, strict=True))
    kind = Receipt if case.heard else OutcomeUnknown
    assert {name: isinstance(one, kind) for name, one in heard.items()} == dict.fromkeys(writes, True), heard
    assert place.proxy.met(number) == len(writes)
    landed = {name: await place.landed(write.marker, case.landed) for name, write in writes.items()}
    assert landed == dict.fromkeys(writes, case.landed)
