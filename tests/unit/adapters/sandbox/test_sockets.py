"""The real port: what a client sees on the wire when the simulated ERP misbehaves."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from adapters.sandbox.faults import Fault
from adapters.sandbox.process import Options, Sandbox, running, serve

pytestmark = pytest.mark.enable_socket


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(Options(legacy_port=0, cloud_port=0, control_port=0, scale=0.02)) as started:
        yield started


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


async def arm(http: httpx.AsyncClient, sandbox: Sandbox, system: str, **fault: object) -> None:
    reply = await http.post(f"{sandbox.control_url}/{system}/_sandbox/faults", json=fault)
    assert reply.status_code == 201, reply.text


async def say(port: int, data: bytes, until: int | None = None) -> bytes:
    """Speaks over a bare socket and reads to the end (or so many bytes)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(5):
            return await (reader.read() if until is None else reader.readexactly(until))
    finally:
        writer.close()


GET = b"GET /erp/Status HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_both_systems_answer_on_their_ports(sandbox: Sandbox, http: httpx.AsyncClient) -> None:
    """Each wire on its own port, with a length and a date; both switches on the control port."""
    legacy = await http.get(f"{sandbox.legacy_url}/erp/Kunden?anzahl=1")
    cloud = await http.get(f"{sandbox.cloud_url}/odata/v4/Customers?$top=1")
    assert legacy.headers["content-type"].startswith("application/xml")
    assert len(cloud.json()["value"]) == 1
    assert "date" in cloud.headers
    for system in ("legacy", "cloud"):
        health = await http.get(f"{sandbox.control_url}/{system}/_sandbox/health")
        assert health.json()["system"] == system


async def test_an_address_with_escapes(sandbox: Sandbox, http: httpx.AsyncClient) -> None:
    """A percent-encoded key is the same key."""
    url = f"{sandbox.cloud_url}/odata/v4/Customers(ExternalId=%27cus%5F1%27)"
    assert (await http.patch(url, json={"Name": "Größe"})).json()["ExternalId"] == "cus_1"
    reply = await http.get(f"{sandbox.cloud_url}/odata/v4/Customers", params={"$filter": "Name eq 'Größe'"})
    assert len(reply.json()["value"]) == 1


async def test_requests_piped_in_are_answered_in_order(sandbox: Sandbox) -> None:
    """Several requests in one packet: as many answers, one after the other."""
    last = b"GET /erp/Nichts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await say(sandbox.ports["legacy"].port, GET + GET + last)
    assert re.findall(rb"HTTP/1.1 (\d{3})", answer) == [b"200", b"200", b"404"]


async def test_nonsense_is_400_and_the_end(sandbox: Sandbox) -> None:
    """What is not HTTP is told so."""
    assert (await say(sandbox.ports["legacy"].port, b"HELO\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


async def test_closed_is_an_end_without_an_answer(sandbox: Sandbox, http: httpx.AsyncClient) -> None:
    """A lost answer: the stream ends, not a byte was sent, the effect is there."""
    await arm(http, sandbox, "cloud", kind="answer_lost", how="close", count=1)
    body = json.dumps({"Name": "A", "LastOperation": "op_1"}).encode()
    head = f"POST /odata/v4/Customers HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    assert await say(sandbox.ports["cloud"].port, head + body) == b""
    effects = await http.get(f"{sandbox.control_url}/cloud/_sandbox/effects?marker=op_1")
    assert len(effects.json()["items"]) == 1


async def test_reset_is_a_reset(sandbox: Sandbox, http: httpx.AsyncClient) -> None:
    """The client reads ECONNRESET, not the end of a stream."""
    await arm(http, sandbox, "legacy", kind="drop", how="reset", count=1)
    with pytest.raises(ConnectionResetError):
        await say(sandbox.ports["legacy"].port, GET)
    await arm(http, sandbox, "legacy", kind="drop", how="reset", count=1)
    with pytest.raises(httpx.HTTPError):
        await http.get(f"{sandbox.legacy_url}/erp/Status")


async def test_refuse_resets_before_reading(sandbox: Sandbox, http: httpx.AsyncClient) -> None:
    """A new connection is reset although nothing was asked yet, and kept-alive ones are ended."""
    assert (await http.get(f"{sandbox.legacy_url}/erp/Status")).status_code == 200
    await arm(http, sandbox, "legacy", kind="refuse", count=1)
    with pytest.raises(ConnectionResetError):
        await say(sandbox.ports["legacy"].port, b"")
    assert (await http.get(f"{sandbox.legacy_url}/erp/Status")).status_code == 200


async def test_an_outage_refuses_connections_until_it_ends(sandbox: Sandbox, http: httpx.AsyncClient) -> None:
    """Nobody listens; what was open is cut; the control port still answers and ends it; data is as it was."""
    made = await http.post(f"{sandbox.legacy_url}/erp/Kunden", content=b"<Kunde><Name1>A</Name1></Kunde>")
    await arm(http, sandbox, "legacy", kind="outage")
    with pytest.raises(httpx.ConnectError):
        await http.get(f"{sandbox.legacy_url}/erp/Status")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", sandbox.ports["legacy"].port)) != 0
    assert (await http.get(f"{sandbox.cloud_url}/odata/v4/")).status_code == 200
    await http.delete(f"{sandbox.control_url}/legacy/_sandbox/faults")
    await back(http, sandbox)
    assert (await http.get(f"{sandbox.legacy_url}{made.headers['location']}")).status_code == 200


async def test_when_it_is_said_that_an_outage_is_over_nobody_is_refused(sandbox: Sandbox) -> None:
    """The port takes connections from the moment at which the switch is moved, before anybody can be told."""
    sandbox.legacy.faults.arm(Fault(kind="outage"))
    address = "127.0.0.1", sandbox.ports["legacy"].port
    async with asyncio.timeout(5):
        while not _refused(address):  # noqa: ASYNC110 - it is closed when the loop has its next turn
            await asyncio.sleep(0)
    sandbox.legacy.faults.disarm()
    assert not _refused(address)


def _refused(address: tuple[str, int]) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(address) != 0


async def test_an_outage_with_an_expiry_ends_by_itself(sandbox: Sandbox, http: httpx.AsyncClient) -> None:
    """The switch can be moved through the system's own port: its answer still arrives."""
    fault = {"kind": "outage", "for_s": 0.1}
    assert (await http.post(f"{sandbox.legacy_url}/_sandbox/faults", json=fault)).status_code == 201
    with pytest.raises(httpx.ConnectError):
        await http.get(f"{sandbox.legacy_url}/erp/Status")
    await back(http, sandbox)


async def test_an_outage_drops_what_was_not_done_yet(sandbox: Sandbox, http: httpx.AsyncClient) -> None:
    """A request that was still waiting is cut off without an effect."""
    await arm(http, sandbox, "legacy", kind="latency", ms=300, on=["writes"])
    task = asyncio.create_task(
        http.post(f"{sandbox.legacy_url}/erp/Kunden", content=b"<Kunde><Name1>A</Name1></Kunde>")
    )
    async with asyncio.timeout(5):
        while not sandbox.legacy.requests.get("customer.create"):  # noqa: ASYNC110 - a plain counter
            await asyncio.sleep(0.005)
    await arm(http, sandbox, "legacy", kind="outage")
    with pytest.raises(httpx.HTTPError):
        await task
    await asyncio.sleep(0.35)
    assert sandbox.legacy.effects.entries == []


async def test_serve_says_ready_when_all_answer() -> None:
    """READY lines name the addresses, and each of them answers by then."""
    said: list[str] = []
    stop = asyncio.Event()
    options = Options(legacy_port=0, cloud_port=0, control_port=0, scale=0)
    task = asyncio.create_task(serve(options, stop=stop, announce=said.append))
    async with asyncio.timeout(5):
        while len(said) < 3:  # noqa: ASYNC110 - a plain list
            await asyncio.sleep(0.005)
    assert [line.split()[:2] for line in said] == [
        ["READY", "legacy"],
        ["READY", "cloud"],
        ["READY", "control"],
    ]
    async with httpx.AsyncClient() as client:
        for line in said[:2]:
            assert (await client.get(f"{line.split()[2]}/_sandbox/health")).status_code == 200
    stop.set()
    await task


async def back(http: httpx.AsyncClient, sandbox: Sandbox) -> None:
    """Waits until the legacy port answers again."""
    async with asyncio.timeout(5):
        while True:
            try:
                assert (await http.get(f"{sandbox.legacy_url}/erp/Status")).status_code == 200
            except httpx.ConnectError:
                await asyncio.sleep(0.01)
            else:
                return
