"""``twinrun doctor``: what stands in the way of a start, each with what to do about it. It changes nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import msgspec
from sqlalchemy import make_url

from adapters.build import open_adapter
from adapters.errors import AdapterError, Misconfigured, Unauthorised
from adapters.profile import load as load_profile
from gateway.canonical import BY_NAME
from gateway.cli import codes
from gateway.cli.orphans import orphans as list_orphans
from gateway.cli.screen import Json, put_json, put_table, say
from gateway.clock import SystemClock
from gateway.database import Database
from gateway.database.migrate import at_head
from gateway.errors import GatewayError, Malformed, RuleFileWrong, SettingWrong, StoreUnavailable
from gateway.ledger import invariants
from gateway.reconcile.sources import Away, Failed, open_sources
from gateway.routing.ruleset import load as load_rules
from gateway.settings import Settings, SystemSettings, load, rule_folder

T = TypeVar("T")

#: Seconds that anything outside may take to answer before it counts as silent.
PATIENCE_S = 10.0
#: A journal that cannot grow stops every write, so less than this is a failure.
FREE_BYTES = 500 * 1024 * 1024
#: Records that break a law of the journal, so many of them by name.
NAMED = 5


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at. ``code`` is the exit code that a failure stands for."""

    name: str
    result: str  #: pass or fail
    found: str
    remedy: str | None = None
    code: int = codes.PASS


def doctor(*, orphans: str | None = None, since: str | None = None, json: Json = False) -> int:
    """Check settings, database, journal, systems, sources and rules, with a remedy for each. It changes nothing.

    Exit code 0: all pass. 2: a setting or rule file is wrong. 1: something is not ready. 3: something does not answer.

    Parameters
    ----------
    orphans:
        Instead: list what this system has from us and the journal does not know, as after a restore. 1: there is some.
        3: the system cannot be searched.
    since:
        With --orphans: only records that the system changed at or after this moment: RFC 3339 or a day.
    """
    if orphans is not None:
        return list_orphans(orphans, since, json=json)
    if since is not None:
        raise Malformed("--since goes with --orphans")
    found = asyncio.run(examine())
    # What is wrong for certain says more than what could not be reached.
    failed = {one.code for one in found}
    code = next((code for code in (codes.WRONG, codes.DIFFER, codes.UNSURE) if code in failed), codes.PASS)
    if json:
        put_json({"result": "fail" if code else "pass", "checks": found})
        return code
    put_table(
        ("check", "result", "found", "remedy"),
        [(one.name, one.result, one.found, one.remedy) for one in found],
    )
    say("all pass" if code == codes.PASS else f"{sum(one.code > 0 for one in found)} of {len(found)} fail")
    return code


async def examine() -> list[Check]:
    """Every check, in the order in which a start would meet it."""
    try:
        settings = load()
    except SettingWrong as wrong:
        return [_fail("settings", codes.told(wrong), "correct the key that is named", codes.WRONG)]
    found = [_pass("settings", os.environ.get("TWINRUN_CONFIG") or _file(Path("twinrun.toml")))]
    found.append(_rules(settings))
    database = await _database(settings)
    found.append(database)
    if database.code == codes.PASS:
        found.extend(await _laws(settings))
    if settings.sqlite:
        found.append(_disk(Path(make_url(settings.database).database or "twinrun.db")))
    if settings.redis is not None:
        found.append(await _redis(settings.redis))
    for name, system in settings.systems.items():
        found.extend(await _system(name, system))
    for name in settings.sources:
        found.extend(await _source(settings, name))
    return found


def _file(path: Path) -> str:
    return f"{path}" if path.exists() else f"defaults (no {path} in this folder)"


def _rules(settings: Settings) -> Check:
    try:
        rules = load_rules(rule_folder(settings))
    except RuleFileWrong as wrong:
        return _fail("rule files", codes.told(wrong), "correct the file that is named", codes.WRONG)
    return _pass("rule files", f"{len(rules.rules)} slices in {len(rules.regions)} regions")


async def _database(settings: Settings) -> Check:
    shown = settings.database.split("@")[-1]
    if settings.sqlite:
        path = Path(make_url(settings.database).database or "twinrun.db")
        if not path.exists():  # noqa: ASYNC240 - one look at a local folder, and nothing else runs meanwhile
            if not os.access(path.parent, os.W_OK):
                return _fail("database", f"{path.parent} is not writable", "make it writable", codes.UNSURE)
            return _pass("database", f"{path} will be made by the first start")
    database = Database(settings.database, clock=SystemClock())
    try:
        database.start()
        ready = await _patiently(lambda: database.read(at_head))
    except ModuleNotFoundError as missing:
        known = codes.of(missing)
        if known is None:
            raise
        return _fail("database", known.line, "install it", known.code)
    except (StoreUnavailable, TimeoutError, OSError) as lost:
        return _fail(
            "database",
            f"{shown}: {codes.told(lost) or 'no answer'}",
            "start it, or correct `database`",
            codes.UNSURE,
        )
    finally:
        await database.close()
    if not ready:
        remedy = (
            "twinrun db upgrade"
            if not settings.sqlite
            else "the next start, or twinrun db upgrade, adds them"
        )
        return _fail("database", f"{shown} has not the tables of this version", remedy, codes.DIFFER)
    return _pass("database", f"{shown} has the tables of this version")


async def _laws(settings: Settings) -> list[Check]:
    """The laws of the journal over its newest events and all that is open. A worker looks at the rest bit by bit."""
    database = Database(settings.database, clock=SystemClock())
    if database.sqlite and not database.path.exists():
        return []
    try:
        database.start()
        broken = await database.read(
            lambda conn: invariants.broken(conn, invariants.extent(conn), now=database.now(conn))
        )
    except (StoreUnavailable, OSError) as lost:
        return [_fail("journal", codes.told(lost), "start the database, and look again", codes.UNSURE)]
    finally:
        await database.close()
    return [_law(one, broken[one.name]) for one in invariants.INVARIANTS]


def _law(one: invariants.Invariant, records: tuple[str, ...]) -> Check:
    name = f"journal {one.name}"
    if not records:
        return _pass(name, one.law)
    more = f" and {len(records) - NAMED} more" if len(records) > NAMED else ""
    found = f"broken: {one.law} {', '.join(records[:NAMED])}{more}"
    return _fail(name, found, "look at each with `twinrun journey`, and replay nothing of it", codes.DIFFER)


def _disk(path: Path) -> Check:
    free = shutil.disk_usage(path.parent).free
    shown = f"{free / 1024**3:.1f} GiB free in {path.parent.resolve()}"
    if free < FREE_BYTES:
        return _fail("disk", shown, f"free {FREE_BYTES // 1024**2} MiB at least", codes.DIFFER)
    return _pass("disk", shown)


async def _redis(url: str) -> Check:
    try:
        from redis.asyncio import Redis
        from redis.exceptions import RedisError
    except ModuleNotFoundError:
        return _fail("redis", "its client is not installed", "pip install 'twinrun[redis]'", codes.WRONG)
    shown = url.split("@")[-1]
    try:
        async with Redis.from_url(url, socket_timeout=PATIENCE_S) as client:  # pyright: ignore[reportUnknownMemberType]
            ping = cast("Callable[[], Awaitable[bool]]", client.ping)  # pyright: ignore[reportUnknownMemberType]
            await _patiently(ping)
    except (RedisError, OSError, TimeoutError, ValueError) as lost:
        return _fail(
            "redis", f"{shown}: {lost}", "start it, or take `redis` out of the settings", codes.UNSURE
        )
    return _pass("redis", f"{shown} answers")


async def _system(name: str, system: SystemSettings) -> list[Check]:
    label = f"system {name}"
    try:
        profile = load_profile(system.profile)
        adapter = open_adapter(name, profile, system.base_url, system.auth, system.options)
    except Misconfigured as wrong:
        return [_fail(label, wrong.message, f"correct [systems.{name}]", codes.WRONG)]
    held = [entity for entity in BY_NAME if entity in profile.entities]
    found = [
        _pass(
            label,
            f"{profile.product} {profile.version} ({profile.grade}), {len(held)} of {len(BY_NAME)} entities",
        )
    ]
    try:
        health = await _patiently(adapter.probe)
    except Unauthorised as refused:
        found.append(_refused(label, name, refused.message))
    except (AdapterError, TimeoutError, GatewayError) as lost:
        found.append(_silent(label, name, system, str(lost) or "no answer"))
    else:
        if health.ok:
            found.append(_pass(f"{label} answers", f"{system.base_url} in {health.latency_s * 1000:.0f} ms"))
        elif health.detail.startswith(Unauthorised.__name__):
            found.append(_refused(label, name, health.detail))
        else:
            found.append(_silent(label, name, system, health.detail))
    finally:
        await adapter.close()
    return found


async def _source(settings: Settings, name: str) -> list[Check]:
    """Whether a source can be read, entity by entity; none of its records is."""
    label = f"source {name}"
    declared = settings.sources[name]
    try:
        source = open_sources(msgspec.structs.replace(settings, sources={name: declared}))[name]
    except SettingWrong as wrong:
        return [_fail(label, codes.told(wrong), f"correct [sources.{name}]", codes.WRONG)]
    found: list[Check] = []
    shown = declared.address.split("@")[-1]
    for entity in source.declared.entities:
        held = f"{label} {entity}"
        try:
            await _patiently(partial(source.look, entity))
        except Failed as wrong:
            remedy = f"bring what is to be read into agreement with its map, {declared.map}"
            found.append(_fail(held, f"{shown}: {wrong}", remedy, codes.DIFFER))
        except (Away, TimeoutError) as silent:
            remedy = f"start it, or correct [sources.{name}] address"
            found.append(_fail(held, f"{shown}: {str(silent) or 'no answer'}", remedy, codes.UNSURE))
        else:
            found.append(_pass(held, f"{shown} can be read for {source.system}"))
    return found


def _refused(label: str, name: str, reason: str) -> Check:
    return _fail(f"{label} answers", reason, f"correct [systems.{name}] auth", codes.WRONG)


def _silent(label: str, name: str, system: SystemSettings, reason: str) -> Check:
    remedy = f"start it, or correct [systems.{name}] base_url"
    return _fail(f"{label} answers", f"{system.base_url}: {reason}", remedy, codes.UNSURE)


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    async with asyncio.timeout(PATIENCE_S):
        return await ask()


def _pass(name: str, found: str) -> Check:
    return Check(name=name, result="pass", found=found)


def _fail(name: str, found: str, remedy: str, code: int) -> Check:
    return Check(name=name, result="fail", found=" ".join(found.split()), remedy=remedy, code=code)
