"""Settings: one frozen Struct, every key with its unit, default and reason.

Read from one TOML file (``twinrun.toml`` in the working folder, or the file named by ``TWINRUN_CONFIG``), then
overridden by environment variables: ``TWINRUN_PORT=9000``, and two underscores for a table:
``TWINRUN_SYSTEMS__LEGACY__BASE_URL=https://…``. A variable or key that ends in ``_FILE`` (``_file``) names a file
that holds the value, for secrets. Without any file the program runs on SQLite in the working folder, without
Redis, against the two simulated systems at the addresses where ``twinrun sandbox`` puts them.

A wrong setting stops the start with its path, what was found and what is allowed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec

from gateway.errors import SettingWrong

PREFIX = "TWINRUN_"
#: Variables with the prefix that are not settings: where the file is, and what only tests and their servers read.
NOT_SETTINGS = frozenset(
    {
        "TWINRUN_CONFIG",
        "TWINRUN_CRASH_AT",
        "TWINRUN_REQUIRE_SERVERS",
        "TWINRUN_TEST_DATABASE",
        "TWINRUN_TEST_REDIS",
    }
)

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class SystemSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ERP: which product it is, where it stands, and how we sign in."""

    profile: str  #: name of a packaged profile, or a path to a TOML file
    base_url: str  #: the address that the profile's paths are relative to
    auth: dict[str, Any] = {}  #: ``kind`` (none, basic, bearer, session) and what that kind needs
    options: dict[str, Any] = {}  #: what the profile asks for by name (a database, a company …)
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)] | None = None  #: seconds per call; None: the profile's
    concurrency: Positive | None = None  #: calls in flight at once, of all processes; None: the profile's
    webhook_secret: str | None = None  #: signs its webhooks, never in the file itself; two by a space while one changes


class SourceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source: what a system holds, as an export or its database shows it, for reconciliations to read."""

    system: str  #: the system whose records it has, under that system's own ids
    map: str  #: path of the TOML file that says where each entity lies and which column is which field
    address: str  #: folder of the files, or the database: sqlite:///file, postgresql://…
    window_s: Seconds = 600.0  #: how long an export takes to be made; what is written within it is late, not wrong
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 60.0  #: seconds per query of a database


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one process is told. The remark beside a key is its row in the README."""

    host: str = "127.0.0.1"  #: the address that ``serve`` listens on; loopback until somebody decides otherwise
    port: Port = 8080  #: TCP; 0 takes any free one
    database: str = "sqlite:///twinrun.db"  #: or postgresql://user@host/name
    redis: str | None = None  #: redis://…; wakes other replicas at once, never holds the truth
    rules: str | None = None  #: folder of routing rule files; None: the packaged ones
    systems: dict[str, SystemSettings] = msgspec.field(
        default_factory=lambda: {
            "legacy": SystemSettings(profile="sandbox_legacy", base_url="http://127.0.0.1:8101"),
            "cloud": SystemSettings(profile="sandbox_cloud", base_url="http://127.0.0.1:8102"),
        }
    )
    sources: dict[str, SourceSettings] = {}
    body_limit: Positive = 1_048_576  #: bytes of one request body
    wait_default_s: Seconds = 5.0  #: how long a write is waited for before a 202, without ``Prefer: wait``
    wait_max_s: Annotated[float, msgspec.Meta(ge=0, le=25)] = 25.0  #: the longest ``Prefer: wait`` that is honoured
    rules_refresh_s: Annotated[float, msgspec.Meta(gt=0, le=2)] = 0.4  #: reads see a changed rule within this time
    callers_in_flight: Positive = 128  #: callers of one system that a process waits for at once
    callers_queued: Positive = 128  #: callers that wait for such a place; beyond it 503 at once, and nothing is kept
    stored_writes: Positive = 100_000  #: writes of one slice that may wait for their authority; beyond it 503
    stored_writes_of_record: Positive = 50  #: of one record; a longer row is a fault of its writer
    stored_hours: Positive = 72  #: hours that the oldest of them may have waited, which is over a long weekend
    lease_margin_s: Seconds = 15.0  #: added to a system's timeout; a delivery not heard of by then is *unknown*
    quarantine_margin_s: Seconds = 30.0  #: added to the time in which an ERP may still apply what we gave up on
    mirror_concurrency: Positive = 48  #: deliveries that one worker process has in flight to each system
    replay_per_s: Positive = 25  #: dead letters of one bulk replay that are sent again in a second
    breaker_pause_s: Seconds = 30.0  #: nothing is sent to a system that fails calls and answers its health probe
    compare_concurrency: Positive = 16  #: comparisons that one process runs at once
    compare_queue: Positive = 2_000  #: reads waiting to be compared in one process; beyond it they are shed, counted
    resolved_diffs_days: Positive = 30  #: days that details of differences, reconciliations, backfills and repairs stay
    settle_s: Seconds = 2.0  #: how long a record must be quiet before its two sides are compared
    recheck_s: Seconds = 3.0  #: after this time a difference is looked at once more: gone means late, not wrong
    confirm_s: Seconds = 300.0  #: a system that does not show our last write may be late for so long; then it is wrong
    change_feed: bool = False  #: edits made in an ERP itself are carried over, by ``[ownership]`` of the rule files
    change_feed_period_s: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 15.0  #: seconds between two looks at a feed
    drain_limit_s: Seconds = 20.0  #: how long a move of authority waits for open deliveries and edits, then gives up
    two_person: bool = False  #: a move of authority has to be requested by one person and approved by another
    log_level: str = "INFO"  #: of the lines on standard error, one JSON object each

    @property
    def sqlite(self) -> bool:
        return self.database.startswith("sqlite")


def load(environ: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Settings:
    """The settings of this process. Raises SettingWrong with the path of the key that is wrong."""
    env = os.environ if environ is None else environ
    named = env.get("TWINRUN_CONFIG")
    path = Path(named) if named else (folder or Path.cwd()) / "twinrun.toml"
    tree: dict[str, Any] = {}
    if path.exists():
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
            raise SettingWrong(f"{path} is not TOML: {wrong}") from wrong
    elif named:
        raise SettingWrong(f"TWINRUN_CONFIG names {named}, and there is no such file")
    _no_secrets(tree, path)
    for name, value in env.items():
        if name.startswith(PREFIX) and name not in NOT_SETTINGS:
            _put(tree, name, [part.lower() for part in name.removeprefix(PREFIX).split("__")], value)
    tree = _read_files(tree, "$")
    if isinstance(tree.get("systems"), dict):
        tree["systems"] = _with_defaults(tree["systems"])
    try:
        settings = msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as wrong:
        raise SettingWrong(f"in {path if path.exists() else 'the environment'}: {wrong}") from wrong
    if not settings.database.startswith(("sqlite:///", "postgresql://")):
        raise SettingWrong(
            f"$.database is {settings.database.split('@')[-1]!r}; allowed are sqlite:///file and postgresql://…"
        )
    if settings.redis is not None and not settings.redis.startswith(("redis://", "rediss://", "unix://")):
        raise SettingWrong(f"$.redis is {settings.redis.split('@')[-1]!r}; allowed are redis://…, rediss://…, unix://…")
    return settings


def _no_secrets(tree: dict[str, Any], path: Path) -> None:
    """Raises SettingWrong where the settings file holds a secret that has a place of its own."""
    systems = tree.get("systems")
    for name, system in cast("dict[str, Any]", systems if isinstance(systems, dict) else {}).items():
        if isinstance(system, dict) and "webhook_secret" in system:
            raise SettingWrong(
                f"$.systems.{name}.webhook_secret stands in {path}; a secret is given by environment, or by "
                "webhook_secret_file, which names a file that holds it"
            )


def _put(tree: dict[str, Any], name: str, parts: list[str], value: str) -> None:
    for part in parts[:-1]:
        nested: Any = tree.setdefault(part, {})
        if not isinstance(nested, dict):
            raise SettingWrong(f"{name} sets a key inside {part!r}, which is a single value in the settings file")
        tree = cast("dict[str, Any]", nested)
    tree[parts[-1]] = value


def _read_files(tree: dict[str, Any], where: str) -> dict[str, Any]:
    """Replaces every ``key_file`` by ``key`` with the text of that file, without the closing line break."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            out[key] = _read_files(cast("dict[str, Any]", value), f"{where}.{key}")
        elif key.endswith("_file") and isinstance(value, str):
            try:
                out[key.removesuffix("_file")] = Path(value).read_text(encoding="utf-8").rstrip("\r\n")
            except OSError as wrong:
                raise SettingWrong(f"{where}.{key} names {value}, which cannot be read: {wrong.strerror}") from wrong
        else:
            out[key] = value
    return out


def _with_defaults(systems: dict[str, Any]) -> dict[str, Any]:
    """A system that the file leaves out keeps its default, and so does each key of one that is only adjusted."""
    defaults = msgspec.to_builtins(Settings().systems)
    merged = {**defaults, **systems}
    for name, wanted in systems.items():
        if isinstance(wanted, dict) and name in defaults and "profile" not in wanted:
            merged[name] = {**defaults[name], **wanted}
    return merged


def rule_folder(settings: Settings) -> Any:
    """Where the rule files are: the folder of the settings, or the packaged ones."""
    return Path(settings.rules) if settings.rules is not None else files("routing_rules")
