"""What the adapter refuses before anything is sent, and what it holds back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.build import open_adapter
from adapters.contract import Query
from adapters.errors import Misconfigured, Rejected, Unreadable
from adapters.profile import parse
from adapters.transport import Pace, Reply, Request
from tests.unit.adapters.systems import ODATA, REST_JSON, system, write


class Scripted:
    """A carrier that answers what it is told and remembers what it was asked."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []
        self.at_once = 0
        self.most_at_once = 0

    async def send(self, request: Request) -> Reply:
        self.requests.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return self.replies[0] if len(self.replies) == 1 else self.replies.pop(0)

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "call",
    [
        lambda a: a.fetch("payment", "1"),
        lambda a: a.find("customer", marker="x"),
        lambda a: a.search("customer", Query(where={"name": "x"})),
        lambda a: a.transition(write("customer", {}, native_id="1", to_state="active")),
    ],
    ids=["no such entity", "no such capability", "no such filter", "no transitions"],
)
async def test_what_the_profile_does_not_offer_is_not_sent(call: Any) -> None:
    """A fault of ours is Misconfigured, before the system hears of it."""
    with pytest.raises(Misconfigured):
        await call(system("rest_json"))


async def test_a_value_that_cannot_be_mapped_is_refused_unsent() -> None:
    """Rejected with the canonical path: the same again would be refused again."""
    carrier = Scripted()
    adapter = open_adapter("cloud", parse(ODATA, file="x"), "http://erp.test", transport=carrier)
    with pytest.raises(Rejected) as caught:
        await adapter.create(write("invoice", {"state": "moonlit"}))
    assert (caught.value.field, caught.value.code, carrier.requests) == ("state", "unmappable", [])


async def test_no_more_requests_at_once_than_the_product_bears() -> None:
    """The others wait here, where waiting is free, not inside the system."""
    carrier = Scripted(Reply(status=200, headers={}, content=b'{"value": []}'))
    profile = parse(ODATA.replace("[options]", "[limits]\nconcurrency = 3\n[options]"), file="x")
    adapter = open_adapter("cloud", profile, "http://erp.test", transport=carrier)
    await asyncio.gather(*(adapter.search("invoice", Query()) for _ in range(20)))
    assert (len(carrier.requests), carrier.most_at_once) == (20, 3)


async def test_requests_are_spaced_to_the_rate_of_the_product() -> None:
    """Ten a second leave at least a tenth of a second between them, without bursts."""
    pace = Pace(1000.0)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for _ in range(21):
        if (wait := pace.wait()) is not None:
            await wait
    assert loop.time() - begun >= 0.0195
    assert Pace(None).wait() is None


async def test_a_write_whose_answer_names_no_record_is_unreadable() -> None:
    """2xx without a key: something was made, and we do not know what."""
    carrier = Scripted(Reply(status=201, headers={}, content=b""))
    adapter = open_adapter("cloud", parse(ODATA, file="x"), "http://erp.test", transport=carrier)
    with pytest.raises(Unreadable):
        await adapter.create(write("invoice", {"state": "draft"}))


@pytest.mark.parametrize("base_url", ["ftp://erp.test", "erp.test", "http://", "http://erp.test/?x=1"])
def test_an_address_must_be_one(base_url: str) -> None:
    """Found at the start, not at the first invoice."""
    with pytest.raises(Misconfigured):
        open_adapter("cloud", parse(ODATA, file="x"), base_url)


def test_an_unknown_transport_is_named() -> None:
    """With those that there are."""
    with pytest.raises(Misconfigured, match="aiohttp, httpcore"):
        open_adapter("cloud", parse(ODATA, file="x"), "http://erp.test", transport="pigeon")


async def test_probe_reads_the_systems_clock() -> None:
    """The Date header tells how far its clock is from ours."""
    date = {"Date": "Mon, 23 Nov 2026 10:00:00 GMT"}
    carrier = Scripted(Reply(status=200, headers=date, content=b"{}"))
    adapter = open_adapter("cloud", parse(REST_JSON, file="x"), "http://erp.test", transport=carrier)
    health = await adapter.probe()
    assert (health.ok, health.server_time) == (True, datetime(2026, 11, 23, 10, tzinfo=UTC))


def test_facts_come_from_the_profile() -> None:
    """The gateway decides by them."""
    facts = system("odata").facts("invoice")
    assert facts.mapped == {
        "number", "customer_id", "currency", "issue_date", "state", "total", "note", "lines",
    }  # fmt: skip
    assert facts.assigned == {"number"}
    assert facts.filters == {"customer_id", "state", "issue_date"}
    assert (facts.idempotency, facts.conditional, facts.max_processing_s) == ("B", True, 600.0)
