"""Webhooks that ERPs send: a signed one has the feed read now, and none of them ever changes anything."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import func, select
from standardwebhooks import Webhook

from gateway.app import Gateway
from gateway.change_feed import retention
from gateway.change_feed.tables import feed, feed_hint
from gateway.errors import SettingWrong
from gateway.ledger.tables import operation
from gateway.settings import Settings, load
from tests.integration.change_feed.conftest import settings_of_feed
from tests.integration.change_feed.desk import edit, held, paired, written
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import World, customer, fresh
from tests.systems.redis import Redis
from tests.systems.sandbox import Sandbox

OLD, NEW, FOREIGN = ("whsec_" + b64encode(each * 24).decode() for each in (b"o", b"n", b"f"))
#: Seconds between two passes, so long that what is seen within a test was asked for.
SELDOM_S = 3_000.0
SOON_S = 10.0


def _listening(settings: Settings, **more: Any) -> Settings:
    """The legacy system signs with either of two secrets; the cloud has none. Feeds have their turn once an hour."""
    legacy = msgspec.structs.replace(settings.systems["legacy"], webhook_secret=f"{NEW} {OLD}")
    systems = {**settings.systems, "legacy": legacy}
    return msgspec.structs.replace(settings, systems=systems, change_feed_period_s=SELDOM_S, **more)


@pytest.fixture
async def world(settings: Settings, erps: Sandbox) -> AsyncIterator[World]:
    async with _read_once(_listening(settings), erps) as one:
        yield one


@asynccontextmanager
async def _read_once(settings: Settings, erps: Sandbox) -> AsyncIterator[World]:
    """A world whose feeds have been read once, and have their next turn in an hour."""
    async with opened(settings, erps) as one:
        await one.until(lambda: _read(one), "the feeds are read once")
        yield one


async def _read(world: World, system: str | None = None, entity: str | None = None, after: int = 0) -> bool:
    shown = await world.gateway.follower.list(system=system, entity=entity, region="UK")
    return all((one.read_at or 0) > after for one in shown)


async def _now(world: World) -> int:
    return await world.gateway.database.read(world.gateway.database.now)


def _signed(
    body: str, *, id_: str | None = None, secret: str = NEW, at: datetime | None = None
) -> tuple[bytes, dict[str, str]]:
    """What the library of the standard sends."""
    at, id_ = at or datetime.now(UTC), id_ or fresh("msg")
    headers = {
        "webhook-id": id_,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(id_, at, body),
        "content-type": "application/json",
    }
    return body.encode(), headers


async def _sent(world: World, system: str, sent: tuple[bytes, dict[str, str]]) -> httpx.Response:
    world.client.headers.pop("Authorization", None)
    return await world.client.post(f"/hooks/v1/{system}", content=sent[0], headers=sent[1])


async def test_a_webhook_has_the_edit_carried_over_now(world: World) -> None:
    """The feeds have their turn once in an hour; with a webhook an edit is in the other system within seconds, once.
    The feeds of other entities, and of the other system, are left alone."""
    made = await paired(world, "customers", customer(number=fresh("C"), phone="1"))
    begun = await _now(world)
    edit(world, "legacy", "customer", made, phone="2")
    before = written(world, "cloud", "customer")
    answer = await _sent(world, "legacy", _signed('{"type": "customer.updated", "data": {"phone": "666"}}'))
    assert (answer.status_code, answer.json()) == (202, {"feeds": 1, "repeated": False})

    async def there() -> bool:
        return (await held(world, "cloud", "customer", made))["phone"] == "2"

    await world.until(there, "the cloud has what was edited", SOON_S)
    await world.quiet()
    assert written(world, "cloud", "customer") - before == {made["external_refs"]["cloud"]: 1}
    assert await _read(world, "legacy", "customer", begun)
    assert not await _read(world, "legacy", "project", begun)
    assert not await _read(world, "cloud", "customer", begun)


@pytest.mark.parametrize(
    "body", ['{"type": "ledger.closed"}', '{"type": 7}', "[]", "no JSON", ""], ids=repr
)
async def test_what_names_no_entity_may_be_about_any(world: World, body: str) -> None:
    """Content that says nothing usable is a hint all the same: every feed of the system is read."""
    begun = await _now(world)
    assert (await _sent(world, "legacy", _signed(body))).json()["feeds"] == 8
    await world.until(lambda: _read(world, "legacy", after=begun), "all of them are read", SOON_S)


async def test_secrets_are_changed_without_a_gap(world: World) -> None:
    """Both secrets count while one is changed for the other; a third party's does not."""
    for secret, status in ((OLD, 202), (NEW, 202), (FOREIGN, 401)):
        assert (await _sent(world, "legacy", _signed("{}", secret=secret))).status_code == status


async def test_forged_ones_change_nothing(world: World) -> None:
    """Another body under a signature, another time, one that is too old or too early, a foreign secret, none at all, or
    a system without a secret: each is refused, no feed is asked, and nothing is written, here or there."""
    made = await paired(world, "customers", customer(number=fresh("C"), phone="1"))
    edit(world, "legacy", "customer", made, phone="2")
    await world.quiet()
    before = await _journal(world)
    effects = {system: len(world.effects(system)) for system in ("legacy", "cloud")}
    body, headers = _signed('{"type": "customer.updated"}')
    now = datetime.now(UTC)
    refused = [
        ("legacy", 401, (b'{"type": "customer.deleted"}', headers)),
        ("legacy", 401, (b'{ "type": "customer.updated"}', headers)),
        ("legacy", 401, (body, {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)})),
        ("legacy", 401, (body, {**headers, "webhook-id": "another"})),
        ("legacy", 401, (body, {**headers, "webhook-signature": "v1,"})),
        ("legacy", 401, _signed("{}", at=now - timedelta(seconds=330))),
        ("legacy", 401, _signed("{}", at=now + timedelta(seconds=330))),
        ("legacy", 401, _signed("{}", secret=FOREIGN)),
        ("legacy", 401, _signed("{}", id_="x" * 256)),
        ("cloud", 404, _signed("{}")),
        ("oracle", 404, _signed("{}")),
    ]
    for system, status, sent in refused:
        answer = await _sent(world, system, sent)
        assert answer.status_code == status, answer.text
    assert await _journal(world) == before
    assert {system: len(world.effects(system)) for system in effects} == effects


async def _journal(world: World) -> list[Any]:
    """All that a webhook could have changed."""

    def unit(connection: Any) -> list[Any]:
        columns = (feed.c.system, feed.c.entity, feed.c.region, feed.c.passes_at, feed.c.asked_at, feed.c.next_at)
        return [
            connection.execute(select(func.count()).select_from(operation)).scalar_one(),
            connection.execute(select(func.count()).select_from(feed_hint)).scalar_one(),
            sorted(map(tuple, connection.execute(select(*columns).where(feed.c.failures == 0)))),
        ]

    return await world.gateway.database.read(unit)


async def test_one_that_comes_again_has_no_effect(world: World) -> None:
    """The same id is answered well again and asks no feed, also where it is signed anew; after seven days it is
    forgotten."""
    sent = _signed("{}", id_="msg_1")
    assert (await _sent(world, "legacy", sent)).json() == {"feeds": 8, "repeated": False}
    await world.until(lambda: _nothing_asked(world), "what was asked for was read", SOON_S)
    before = await _journal(world)
    for again in (sent, _signed('{"type": "customer.updated"}', id_="msg_1", secret=OLD)):
        answer = await _sent(world, "legacy", again)
        assert (answer.status_code, answer.json()) == (202, {"feeds": 0, "repeated": True})
    assert await _journal(world) == before
    database = world.gateway.database

    async def purged(before: int) -> int:
        return await database.transaction(lambda conn: retention.purge_hints(conn, before=before, limit=10))

    assert [await purged(await _now(world) - 60_000_000), await purged(await _now(world) + 1)] == [0, 1]
    assert (await _sent(world, "legacy", sent)).json()["repeated"] is False


async def _nothing_asked(world: World) -> bool:
    def unit(connection: Any) -> bool:
        late = feed.c.read_at < func.coalesce(feed.c.asked_at, 0)
        return connection.execute(select(feed.c.system).where(late)).first() is None

    return await world.gateway.database.read(unit)


async def test_a_thousand_of_them_cost_a_few_looks(world: World) -> None:
    """However many come, a feed is read for them once a second at most, and once more after the last of them."""
    begun, asked = await _now(world), world.requests("legacy", "customer.search")
    for _ in range(200):
        assert (await _sent(world, "legacy", _signed('{"type": "customer.updated"}'))).status_code == 202
    last = await _now(world)
    await world.until(lambda: _read(world, "legacy", "customer", last - 1), "read after the last", SOON_S)
    passes = 2 + (await _now(world) - begun) / 1_000_000
    assert 1 <= world.requests("legacy", "customer.search") - asked <= passes


async def test_where_edits_are_not_followed(settings: Settings, erps: Sandbox) -> None:
    """With the feed off a webhook is taken, so that the ERP does not send it again and again, and asks nobody."""
    async with opened(_listening(settings, change_feed=False), erps) as world:
        assert (await _sent(world, "legacy", _signed("{}"))).json() == {"feeds": 0, "repeated": False}


@pytest.mark.server
@pytest.mark.parametrize("redis", [True, False], ids=["with Redis", "without"])
async def test_a_worker_of_another_process_reads(
    postgres_journal: str, rules: Path, erps: Sandbox, own_redis: Redis, redis: bool
) -> None:
    """One process takes the webhook and another one has the workers: it reads at once where Redis tells it, and at its
    next look without."""
    address = own_redis.address if redis else None
    settings = _listening(settings_of_feed(postgres_journal, rules, erps), redis=address)
    async with _read_once(settings, erps) as working, opened(settings, erps, worker=False) as serving:
        made = await paired(working, "customers", customer(number=fresh("C"), phone="1"))
        edit(working, "legacy", "customer", made, phone="2")
        assert (await _sent(serving, "legacy", _signed("{}"))).json()["feeds"] == 8

        async def there() -> bool:
            return (await held(working, "cloud", "customer", made))["phone"] == "2"

        await working.until(there, "the cloud has what was edited", SOON_S)


@pytest.mark.parametrize("secret", ["whsec_short", f"{NEW} {OLD} {FOREIGN}", " "], ids=["short", "three", "none"])
async def test_a_wrong_secret_stops_the_start(settings: Settings, secret: str) -> None:
    """The path is named, and the secret is not."""
    legacy = msgspec.structs.replace(settings.systems["legacy"], webhook_secret=secret)
    wrong = msgspec.structs.replace(settings, systems={**settings.systems, "legacy": legacy})
    gateway = Gateway(wrong)
    with pytest.raises(SettingWrong, match=r"systems\.legacy\.webhook_secret: ") as refused:
        await gateway.open()
    await gateway.close()
    assert "whsec_short" not in str(refused.value)


def test_a_secret_does_not_stand_in_the_settings_file(tmp_path: Path) -> None:
    """It comes from the environment, or from a file of its own that the settings name."""
    (tmp_path / "secret").write_text(f"{NEW}\n{OLD}\n", encoding="utf-8")
    file = tmp_path / "twinrun.toml"
    file.write_text(f'[systems.legacy]\nwebhook_secret_file = "{tmp_path / "secret"}"\n', encoding="utf-8")
    assert load({}, folder=tmp_path).systems["legacy"].webhook_secret == f"{NEW}\n{OLD}"
    named = {"TWINRUN_SYSTEMS__CLOUD__WEBHOOK_SECRET": OLD}
    assert load(named, folder=tmp_path).systems["cloud"].webhook_secret == OLD
    file.write_text(f'[systems.legacy]\nwebhook_secret = "{NEW}"\n', encoding="utf-8")
    with pytest.raises(SettingWrong, match="webhook_secret_file") as refused:
        load({}, folder=tmp_path)
    assert NEW not in str(refused.value)
