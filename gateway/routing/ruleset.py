"""The rule files: which stage each slice is at, and how it is compared and kept.

``regions.toml`` names the regions and their legal entities; each entity has a file with its rules.
A rule for one region beats the rule for ``"*"``; a cohort (``cohorts.toml``) without a rule of its own has its
region's. A slice without a rule, a slice with two, a region that nobody knows and a key that nobody reads stop the
start: a slice routed by accident is worse than none.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from gateway.canonical import ENTITIES
from gateway.canonical.money import Currency
from gateway.canonical.values import Country, LegalEntityCode, Name, RegionCode
from gateway.errors import RuleFileWrong, UnknownRegion
from gateway.routing.calendar import EVERYWHERE, Calendar, misplaced
from gateway.routing.cohort import Cohorts, cohort_of, plain
from gateway.routing.cohort import misplaced as miscohorted
from gateway.routing.guards import Guards
from gateway.routing.guards import misplaced as misguarded
from gateway.routing.ownership import Ownership, Ownerships, misnamed
from gateway.routing.plan import PLANS, Plan
from gateway.routing.stage import Stage

REGIONS_FILE = "regions.toml"
#: When no authority moves. It may be left out.
CALENDAR_FILE = "calendar.toml"
#: When a slice is to go back by itself. It may be left out.
GUARDS_FILE = "guards.toml"
#: Which parts of a region are routed on their own. It may be left out.
COHORTS_FILE = "cohorts.toml"

Slice = tuple[str, str]  # (entity, region or cohort of one)
#: Of so many reads one is compared at the least.
MOST_SAMPLE = 1_000_000
_S = TypeVar("_S", bound=Struct)


class LegalEntity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A company of the firm: whose books a record is in."""

    code: LegalEntityCode
    name: Name
    country: Country
    currency: Currency


class Region(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the firm that is routed on its own."""

    code: RegionCode
    name: Name
    default_legal_entity: LegalEntityCode
    legal_entities: Annotated[tuple[LegalEntity, ...], Meta(min_length=1)]


class Rule(Struct, frozen=True, kw_only=True):
    """What holds for one slice."""

    entity: str
    region: str
    stage: Stage
    compare_sample: int = 1
    storable: bool = True
    note: str = ""

    @property
    def plan(self) -> Plan:
        return PLANS[self.stage]


class Change(Struct, frozen=True, kw_only=True):
    """What would become of one slice; ``before`` is None for a new one, ``after`` for one that goes."""

    entity: str
    region: str
    before: Rule | None
    after: Rule | None

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of what changes."""
        return tuple(
            name
            for name in ("stage", "compare_sample", "storable", "note")
            if getattr(self.before, name, None) != getattr(self.after, name, None)
        )


class Ruleset(Struct, frozen=True, kw_only=True):
    """All regions and all rules. Every entity has exactly one rule in every region, and in every cohort that has a
    slice of it. ``following``: slices of cohorts that no rule names, so that their region's holds for them."""

    regions: Mapping[str, Region]
    rules: Mapping[Slice, Rule]
    cohorts: Cohorts = Cohorts()
    following: frozenset[Slice] = frozenset()
    calendar: Calendar = Calendar()
    guards: Guards = Guards()
    ownership: Mapping[str, Ownerships] = {}

    def owners(self, entity: str) -> Ownerships:
        """Which system may edit which field of the entity."""
        return self.ownership.get(entity) or Ownerships(entity=entity)

    def region(self, code: str) -> Region:
        """The region called ``code``, or that a cohort is of. Raises UnknownRegion and names those that there are."""
        found = self.regions.get(plain(code))
        if found is None:
            raise UnknownRegion(
                f"no rule knows the region {code[:32]!r}; known are {', '.join(self.regions)}"
            )
        return found

    def rule(self, entity: str, region: str) -> Rule:
        """The rule of the slice. Raises UnknownRegion."""
        found = self.rules.get((entity, region))
        return found if found is not None else self.rules[entity, self.region(region).code]

    def region_of(self, legal_entity: str) -> str | None:
        """The code of the region that the legal entity is in, or None for one that nobody knows."""
        for region in self.regions.values():
            if any(company.code == legal_entity for company in region.legal_entities):
                return region.code
        return None

    def default_legal_entity(self, region: str) -> str:
        """The legal entity of a record that names only its region. Raises UnknownRegion."""
        return self.region(region).default_legal_entity

    def legal_entity(self, code: str) -> LegalEntity | None:
        """The company called ``code``, or None."""
        for region in self.regions.values():
            for company in region.legal_entities:
                if company.code == code:
                    return company
        return None


class _RegionsFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    regions: Annotated[tuple[Region, ...], Meta(min_length=1)]


class _Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    region: str
    stage: Stage
    compare_sample: Annotated[int, Meta(ge=1, le=MOST_SAMPLE)] = 1
    storable: bool = True
    note: str = ""


class _RuleFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    entity: str
    rules: Annotated[tuple[_Row, ...], Meta(min_length=1)]
    ownership: dict[str, Ownership] = {}


def load(directory: Path | Traversable) -> Ruleset:
    """The rules in ``directory``. Raises RuleFileWrong with the file and the place in it."""
    if not directory.is_dir():
        raise RuleFileWrong(f"{directory}: is no folder; it should hold {REGIONS_FILE} and a file per entity")
    files = {
        entry.name: entry.read_text(encoding="utf-8")
        for entry in sorted(directory.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".toml")
    }
    return read(files)


def read(files: Mapping[str, str]) -> Ruleset:
    """The rules in these texts by file name. Pure; ``load`` without the disk."""
    if REGIONS_FILE not in files:
        raise RuleFileWrong(f"{REGIONS_FILE}: is missing; it names the regions and their legal entities")
    regions = _regions(_parsed(_RegionsFile, REGIONS_FILE, files[REGIONS_FILE]))
    cohorts = _parsed(Cohorts, COHORTS_FILE, files[COHORTS_FILE]) if COHORTS_FILE in files else Cohorts()
    companies = {code: [company.code for company in region.legal_entities] for code, region in regions.items()}
    problem = miscohorted(cohorts.cohorts, companies)
    if problem is not None:
        raise RuleFileWrong(f"{COHORTS_FILE}: {problem}")
    rules: dict[Slice, Rule] = {}
    following: set[Slice] = set()
    source: dict[str, str] = {}
    ownership: dict[str, Ownerships] = {}
    known = [entity.name for entity in ENTITIES]
    for file, text in files.items():
        if file in (REGIONS_FILE, CALENDAR_FILE, GUARDS_FILE, COHORTS_FILE):
            continue
        parsed = _parsed(_RuleFile, file, text)
        if parsed.entity not in known:
            raise RuleFileWrong(f"{file}: entity: {parsed.entity!r} is none of {', '.join(known)}")
        if parsed.entity in source:
            raise RuleFileWrong(
                f"{file}: entity: {parsed.entity} has its rules in {source[parsed.entity]} already"
            )
        source[parsed.entity] = file
        wrong = misnamed(parsed.entity, parsed.ownership)
        if wrong is not None:
            raise RuleFileWrong(f"{file}: {wrong}")
        ownership[parsed.entity] = Ownerships(entity=parsed.entity, fields=parsed.ownership)
        settled, unnamed = _settled(file, parsed, _places(parsed.entity, regions, cohorts))
        rules.update(settled)
        following.update(unnamed)
    for entity in known:
        if entity not in source:
            raise RuleFileWrong(f"{entity}.toml: is missing: no rule says where {entity} is")
    calendar = _parsed(Calendar, CALENDAR_FILE, files[CALENDAR_FILE]) if CALENDAR_FILE in files else Calendar()
    places = [*regions, *(one.place for one in cohorts.cohorts)]
    problem = misplaced(calendar.freezes, places, known)
    if problem is not None:
        raise RuleFileWrong(f"{CALENDAR_FILE}: {problem}")
    guards = _parsed(Guards, GUARDS_FILE, files[GUARDS_FILE]) if GUARDS_FILE in files else Guards()
    problem = misguarded(guards.guards, places, known)
    if problem is not None:
        raise RuleFileWrong(f"{GUARDS_FILE}: {problem}")
    return Ruleset(
        regions=regions,
        rules={(e, place): rules[e, place] for e in known for place in _places(e, regions, cohorts)},
        cohorts=cohorts,
        following=frozenset(following),
        calendar=calendar,
        guards=guards,
        ownership=ownership,
    )


def difference(current: Mapping[Slice, Rule], desired: Mapping[Slice, Rule]) -> tuple[Change, ...]:
    """The slices that differ, in the order of ``desired``; those that only ``current`` has come last."""
    slices = [*desired, *(key for key in current if key not in desired)]
    return tuple(
        Change(
            entity=entity,
            region=region,
            before=current.get((entity, region)),
            after=desired.get((entity, region)),
        )
        for entity, region in slices
        if current.get((entity, region)) != desired.get((entity, region))
    )


def export(rules: Iterable[Rule], ownership: Mapping[str, Ownerships] | None = None) -> dict[str, str]:
    """The rules as files that ``load`` reads back to the same rules; what most regions share
    stands under ``"*"``, and a cohort that has the rule of its region has no row. Regions and cohorts are not exported:
    their files are not changed by a running program. Neither is ``ownership``, which is written back as it was read."""
    by_entity: dict[str, list[Rule]] = {}
    for rule in rules:
        by_entity.setdefault(rule.entity, []).append(rule)
    return {
        f"{entity}.toml": _exported(entity, held) + _exported_ownership((ownership or {}).get(entity))
        for entity, held in by_entity.items()
    }


def _exported_ownership(owners: Ownerships | None) -> str:
    if owners is None or not owners.fields:
        return ""
    rows = [
        f"{_toml(field)} = {{ owner = {_toml(one.owner)}, on_conflict = {_toml(one.on_conflict)} }}\n"
        for field, one in owners.fields.items()
    ]
    return "\n[ownership]\n" + "".join(rows)


def _exported(entity: str, rules: list[Rule]) -> str:
    values = {rule.region: _values(rule) for rule in rules}
    counted = Counter(held for place, held in values.items() if cohort_of(place) is None)
    (common, count), *_ = counted.most_common(1)
    rows: list[tuple[str, Rule]] = []
    if count > 1:
        rows.append((EVERYWHERE, next(rule for rule in rules if _values(rule) == common)))
    for rule in rules:
        of_region = values.get(plain(rule.region)) if cohort_of(rule.region) else common if count > 1 else None
        if _values(rule) != of_region:
            rows.append((rule.region, rule))
    text = f"# Where {entity} is on its way, as the running program has it.\n\nentity = {_toml(entity)}\n"
    for region, rule in rows:
        text += (
            f"\n[[rules]]\nregion         = {_toml(region)}\nstage          = {_toml(rule.stage)}\n"
            f"compare_sample = {rule.compare_sample}\nstorable       = {str(rule.storable).lower()}\n"
        )
        if rule.note:
            text += f"note           = {_toml(rule.note)}\n"
    return text


def _values(rule: Rule) -> tuple[Stage, int, bool, str]:
    return rule.stage, rule.compare_sample, rule.storable, rule.note


def _toml(text: str) -> str:
    # A JSON string is a basic string of TOML, but for DEL, which JSON leaves bare and TOML forbids.
    return msgspec.json.encode(str(text)).decode().replace("\x7f", "\\u007F")


def _parsed(kind: type[_S], file: str, text: str) -> _S:
    try:
        raw: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise RuleFileWrong(f"{file}: is not TOML: {problem}") from None
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as problem:
        raise RuleFileWrong(f"{file}: {problem}") from None


def _regions(parsed: _RegionsFile) -> dict[str, Region]:
    found: dict[str, Region] = {}
    companies: dict[str, str] = {}
    for i, region in enumerate(parsed.regions):
        place = f"{REGIONS_FILE}: regions[{i}]"
        if region.code in found:
            raise RuleFileWrong(f"{place}: the region {region.code} is there already")
        for company in region.legal_entities:
            if company.code in companies:
                raise RuleFileWrong(
                    f"{place}: the legal entity {company.code} is in {companies[company.code]} already"
                )
            companies[company.code] = region.code
        if companies.get(region.default_legal_entity) != region.code:
            raise RuleFileWrong(
                f"{place}: default_legal_entity {region.default_legal_entity} is not one of its own"
            )
        found[region.code] = region
    return found


def _places(entity: str, regions: Iterable[str], cohorts: Cohorts) -> list[str]:
    """Where the entity has slices: each region with its cohorts behind it."""
    return [place for region in regions for place in (region, *cohorts.places(entity, region))]


def _settled(file: str, parsed: _RuleFile, places: list[str]) -> tuple[dict[Slice, Rule], list[Slice]]:
    """The rule of each slice, and the slices that no rule names although they are cohorts'."""
    rows: dict[str, _Row] = {}
    for i, row in enumerate(parsed.rules):
        if row.region != EVERYWHERE and row.region not in places:
            known = ", ".join(places)
            raise RuleFileWrong(f'{file}: rules[{i}].region: {row.region!r} is none of {known}, nor "*"')
        if row.region in rows:
            raise RuleFileWrong(
                f"{file}: rules[{i}].region: {row.region!r} has a rule already; two would overlap"
            )
        rows[row.region] = row
    settled: dict[Slice, Rule] = {}
    for place in places:
        chosen = rows.get(place) or rows.get(plain(place)) or rows.get(EVERYWHERE)
        if chosen is None:
            raise RuleFileWrong(f'{file}: no rule for {parsed.entity} in {place}; add one, or one for "*"')
        settled[parsed.entity, place] = Rule(
            entity=parsed.entity,
            region=place,
            stage=chosen.stage,
            compare_sample=chosen.compare_sample,
            storable=chosen.storable,
            note=chosen.note,
        )
    return settled, [
        (parsed.entity, place) for place in places if cohort_of(place) is not None and place not in rows
    ]
