"""``twinrun rules``: where each slice is, and how it moves. The database is the truth; files are how it is reviewed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.app import Gateway
from gateway.canonical import BY_NAME
from gateway.cli import codes
from gateway.cli.screen import Json, out, put_json, put_table, say
from gateway.cli.session import actor, with_gateway
from gateway.errors import Malformed, RuleRefused, UnknownRegion
from gateway.ledger.slices import Slice
from gateway.proof import Notice
from gateway.routing import ruleset, transition
from gateway.routing.cohort import plain
from gateway.routing.ownership import OwnedField, lines
from gateway.routing.plan import PLANS
from gateway.routing.ruleset import Change, Rule
from gateway.routing.stage import Stage, System
from gateway.settings import load, rule_folder

#: An entity and the system that has it, whose other one begins to be written to.
Mirror = tuple[str, System]
Mirrors = Mapping[Mirror, Sequence[Notice] | None]

ORDER = {name: place for place, name in enumerate(BY_NAME)}


def show(*, entity: str | None = None, region: str | None = None, json: Json = False) -> None:
    """Every slice with its stage, as the database has it, and who may edit which field, as the rule files say.

    Parameters
    ----------
    entity:
        Only this entity.
    region:
        Only this region, or this cohort of one.
    """

    owners: list[OwnedField] = []

    async def work(gateway: Gateway) -> list[Slice]:
        _check(gateway, entity, region)
        for name in BY_NAME if entity is None else (entity,):
            owners.extend(lines(gateway.ruleset.owners(name)))
        found = [
            one
            for one in await gateway.slices.all()
            if entity in (None, one.entity) and region in (None, one.region)
        ]
        return sorted(found, key=lambda one: (ORDER.get(one.entity, 99), one.region))

    found = with_gateway(work)
    if json:
        put_json({"items": found, "next_cursor": None, "ownership": owners})
        return
    put_table(
        ("entity", "region", "stage", "authority", "epoch", "version", "compares 1 in", "stores", "since", "note"),
        [
            (
                one.entity, one.region, one.stage.value + (" (moving)" if one.draining else ""), one.authority.value,
                one.epoch, one.version, one.compare_sample, one.storable, one.updated_at[:19], one.note,
            )
            for one in found
        ],
        right=("epoch", "version", "compares 1 in"),
    )  # fmt: skip
    put_table(
        ("entity", "field", "owner", "edited elsewhere"),
        [(one.entity, one.field, one.owner, one.on_conflict) for one in owners],
    )


def plan(*, json: Json = False) -> int:
    """What the rule files would change in the database. Exit code 1 where they differ.

    A program that is running is changed by `apply`, `set`, the console or the API, never by editing a file alone.
    Where a mirror would begin, it also shows what the product of that system loses of each field.
    """

    async def work(gateway: Gateway) -> tuple[Sequence[Change], Mirrors]:
        changes = await changes_of(gateway)
        return changes, {one: await _mapping(gateway, *one) for one in filter(None, map(_mirror_of, changes))}

    changes, mapping = with_gateway(work)
    if json:
        items = [
            _told(one) if (mirror := _mirror_of(one)) is None else {**_told(one), "mapping": mapping[mirror]}
            for one in changes
        ]
        put_json({"items": items, "next_cursor": None})
    else:
        _print(changes)
        _print_mapping(mapping)
    return codes.DIFFER if changes else codes.PASS


def apply(*, reason: str, override: bool = False, json: Json = False) -> int:
    """Write what `plan` shows. Stops at the first slice that a gate or a dependency holds back.

    Parameters
    ----------
    reason:
        Why; it stands in the history of every slice that changes.
    override:
        Move although a gate stands against it; which one is recorded.
    """
    _reason(reason)

    async def work(gateway: Gateway) -> tuple[list[Change], list[Change], RuleRefused | None]:
        changes = list(await changes_of(gateway))
        done: list[Change] = []
        for change in _in_order(changes):
            after = change.after
            if after is None:
                continue
            now = await _slice(gateway, change.entity, change.region)
            try:
                await gateway.switchover.set_stage(
                    change.entity,
                    change.region,
                    stage=after.stage,
                    reason=reason,
                    expected_version=now.version,
                    actor=actor(),
                    override=override,
                    compare_sample=after.compare_sample,
                    storable=after.storable,
                    note=after.note,
                )
            except RuleRefused as refused:
                return changes, done, refused
            done.append(change)
        return changes, done, None

    changes, done, refused = with_gateway(work)
    if json:
        body: dict[str, Any] = {
            "applied": [_told(change) for change in done],
            "left": [_told(change) for change in changes if change not in done],
            "refused": None if refused is None else codes.told(refused),
        }
        put_json(body)
    else:
        _print(done)
        say(f"{len(done)} of {len(changes)} applied")
    if refused is not None:
        raise refused
    return codes.DIFFER if len(done) < len(changes) else codes.PASS


def export(folder: Path | None = None, /, *, force: bool = False, json: Json = False) -> None:
    """The rules of the database as rule files, which `rules` in the settings may then name.

    Parameters
    ----------
    folder:
        Where to write them, with the files of the regions and cohorts beside them. Without it they are printed.
    force:
        Overwrite files that are there.
    """

    beside = [ruleset.REGIONS_FILE]

    async def work(gateway: Gateway) -> dict[str, str]:
        # A cohort that no file knows any more goes on in the database, and no file could be read that names it.
        cohorts = {one.place for one in gateway.ruleset.cohorts.cohorts}
        beside.extend([ruleset.COHORTS_FILE] if cohorts else [])
        current = (await _current(gateway)).values()
        kept = [rule for rule in current if plain(rule.region) == rule.region or rule.region in cohorts]
        return ruleset.export(kept, gateway.ruleset.ownership)

    files = with_gateway(work)
    ours = rule_folder(load())
    as_they_are = {name: ours.joinpath(name).read_text(encoding="utf-8") for name in beside}
    if folder is None:
        if json:
            put_json(files)
        else:
            for name, text in files.items():
                out().print(f"# --- {name}\n{text}", markup=False)
        return
    files = {**as_they_are, **files}
    there = [name for name in files if (folder / name).exists()]
    if there and not force:
        raise Malformed(f"{folder} holds {', '.join(there)} already; name an empty folder, or add --force")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    if json:
        put_json({"folder": str(folder), "files": list(files)})
    else:
        say(f"{len(files)} files in {folder}")


def set_(
    entity: str,
    region: str,
    stage: str,
    /,
    *,
    reason: str,
    expected_version: int | None = None,
    override: bool = False,
    json: Json = False,
) -> None:
    """Move one slice to a stage.

    Parameters
    ----------
    entity:
        Such as customer or time_entry.
    region:
        The code of the region.
    stage:
        legacy_only, dual_write, shadow, live, ramp_down or cloud_only.
    reason:
        Why; it stands in the history.
    expected_version:
        The version that this change is based on. Default: the one in force now.
    override:
        Move although a gate stands against it; which one is recorded.
    """
    _reason(reason)
    if stage not in tuple(Stage):
        raise Malformed(f"stage {stage!r}; allowed are {', '.join(Stage)}")

    async def work(gateway: Gateway) -> Slice:
        _check(gateway, entity, region)
        now = await _slice(gateway, entity, region)
        known = await gateway.switchover.mapping(entity, now.stage, Stage(stage))
        if known and not json:
            say(
                f"{len(known)} fields of {entity} lose something in the mirror; `twinrun adapters prove` shows it"
            )
        return await gateway.switchover.set_stage(
            entity,
            region,
            stage=Stage(stage),
            reason=reason,
            expected_version=now.version if expected_version is None else expected_version,
            actor=actor(),
            override=override,
        )

    changed = with_gateway(work)
    if json:
        put_json(changed)
    else:
        say(
            f"{entity} in {region} is {changed.stage} at version {changed.version}; "
            f"{changed.authority} answers, epoch {changed.epoch}"
        )


def _mirror_of(change: Change) -> Mirror | None:
    """The mirror that the change begins, if it begins one."""
    before, after = change.before, change.after
    if before is None or after is None or "mapping" not in transition.gates(before.stage, after.stage):
        return None
    return change.entity, PLANS[before.stage].authority


async def _mapping(gateway: Gateway, entity: str, authority: System) -> tuple[Notice, ...] | None:
    return await gateway.proofs.notices(entity, authority.value, authority.other.value)


async def _current(gateway: Gateway) -> dict[tuple[str, str], Rule]:
    slices = sorted(await gateway.slices.all(), key=lambda one: (ORDER.get(one.entity, 99), one.region))
    return {
        (one.entity, one.region): Rule(
            entity=one.entity,
            region=one.region,
            stage=one.stage,
            compare_sample=one.compare_sample,
            storable=one.storable,
            note=one.note,
        )
        for one in slices
    }


async def changes_of(gateway: Gateway) -> Sequence[Change]:
    return ruleset.difference(await _current(gateway), gateway.ruleset.rules)


def _in_order(changes: Sequence[Change]) -> list[Change]:
    """Forwards in the order of dependency, back in the reverse: so no move waits for one that comes later."""

    def place(change: Change) -> int:
        return ORDER.get(change.entity, 99)

    back = [change for change in changes if _position(change.after) < _position(change.before)]
    forward = [change for change in changes if change not in back]
    return [*sorted(back, key=place, reverse=True), *sorted(forward, key=place)]


def _position(rule: Rule | None) -> int:
    return 0 if rule is None else rule.stage.position


async def _slice(gateway: Gateway, entity: str, region: str) -> Slice:
    for one in await gateway.slices.all():
        if (one.entity, one.region) == (entity, region):
            return one
    raise UnknownRegion(f"no rule for {entity} in {region}")


def _check(gateway: Gateway, entity: str | None, region: str | None) -> None:
    if entity is not None and entity not in BY_NAME:
        raise Malformed(f"entity {entity!r}; allowed are {', '.join(BY_NAME)}")
    if region is not None and region not in gateway.slices.places():
        raise UnknownRegion(f"{region!r} is not one of {', '.join(gateway.slices.places())}")


def _reason(reason: str) -> None:
    if not reason.strip():
        raise Malformed("--reason is empty: say why; it is kept in the history")


def _told(change: Change) -> Mapping[str, Any]:
    return {
        "entity": change.entity,
        "region": change.region,
        "fields": change.fields,
        "before": change.before,
        "after": change.after,
    }


def _print(changes: Sequence[Change]) -> None:
    if not changes:
        say("The rule files and the database say the same.")
        return
    put_table(
        ("entity", "region", "field", "database", "files"),
        [
            (
                change.entity,
                change.region,
                name,
                getattr(change.before, name, None),
                getattr(change.after, name, "no rule: its records are left as they are"),
            )
            for change in changes
            for name in change.fields
        ],
    )


def _print_mapping(mapping: Mirrors) -> None:
    """What the mirrors that would begin lose; a reason given to `apply` takes it."""
    for (entity, authority), known in mapping.items():
        if known is None:
            say(
                f"{entity}: nobody can say what {authority.other} would lose: it is missing from the settings"
            )
    rows = [
        (
            entity,
            authority.other,
            "blocks" if one.blocks else "lost" if one.lost else "warning",
            one.path,
            one.words,
        )
        for (entity, authority), known in mapping.items()
        for one in known or ()
    ]
    if rows:
        put_table(
            ("entity", "mirror", "weight", "field", "what"),
            rows,
            title="\nWhat the mirror that begins would lose",
        )
