"""Cohorts: a part of a region that is routed on its own, and the records that keep to it. Pure.

Words. A *cohort* narrows a region: some of its customers, or some of its projects, with all that hangs on them. A
*root* is the customer or the project that brings the others with it. A *place* is what a slice is addressed by beside
its entity: a region, ``EMEA``, or a cohort of it, ``EMEA.wave1``. A record is *pinned* to its place when it is made.

Why a place and not a third key of a slice. A slice is where stage, authority, epoch, fence, floors, evidence and
history hang, and each of them is one row by (entity, region). A cohort that is a place has all of that at once and can
be wrong in none of it; region codes have no dot and no small letters, so a place says by itself which region it is of.
Callers never see one: a record's ``region`` is the region, and whoever may see a region may see its cohorts.

Laws. The place of a record is decided once, in the commit that makes it: of a root by the rule files, of anything else
by the records that it names (``FOLLOWS``). Rule files say where *new* roots go and never move a record. So the same
root gives the same cohort always. A root that a system had before the journal knew it is in the region's own slice,
whatever the rules say of its number, because the cohort's authority may not have it; what hangs on it follows it as
anything does. ``twinrun rules cohort assign`` is how such a root is brought into a cohort. A cohort has slices only of
the entities that hang on its root (``MEMBERS``); a resource works on everybody's projects, so resources stay with their
region. A record that is changed to name another root stays where it is, because its writes do. A payment of invoices
in several places is its customer's.

What it refuses. A create names records that there are, so no root is ever unknown to it. What is first seen in a system
and names a record that nobody can read is in the region's own slice, until its root is assigned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from gateway.canonical.values import LegalEntityCode, RegionCode

DOT = "."

CohortName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9_]{0,21}\Z",
        description="the name of a cohort within its region, such as wave1",
    ),
]
Root = Literal["customer", "project"]
Number = Annotated[str, Meta(min_length=1, max_length=200)]

#: Root -> the entities that a cohort of such roots has slices of, in the order of dependency.
MEMBERS: Mapping[Root, tuple[str, ...]] = {
    "customer": ("customer", "contract", "project", "time_entry", "expense", "invoice", "payment"),
    "project": ("project", "time_entry", "expense", "invoice", "payment"),
}

#: Entity -> the references that it takes its place from. The first that names a record decides; several records of one
#: reference only where they agree. A project that follows no customer into a cohort may be a root itself.
FOLLOWS: Mapping[str, tuple[str, ...]] = {
    "customer": (),
    "resource": (),
    "contract": ("customer_id",),
    "project": ("customer_id",),
    "time_entry": ("project_id",),
    "expense": ("project_id",),
    "invoice": ("project_id", "lines[].project_id", "customer_id"),
    "payment": ("allocations[].invoice_id", "customer_id"),
}

#: Shares of a region's roots are told apart to a hundredth of a percent.
SHARES = 10_000


class Cohort(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which new roots of a region begin in it: those with these numbers, else those of these legal entities, else so
    many percent of the others. With none of the three nobody begins in it, and its roots are assigned."""

    name: CohortName
    region: RegionCode
    root: Root
    numbers: tuple[Number, ...] = ()
    legal_entities: tuple[LegalEntityCode, ...] = ()
    percent: Annotated[int, Meta(ge=0, le=100)] = 0
    note: str = ""

    @property
    def place(self) -> str:
        return f"{self.region}{DOT}{self.name}"


class NewRoot(Struct, frozen=True, kw_only=True):
    """What a rule may judge a root by."""

    entity: str
    record_id: str
    number: str | None = None
    legal_entity: str | None = None


class Cohorts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every cohort of the firm, in the order of the file. Percentages lie side by side in that order."""

    cohorts: tuple[Cohort, ...] = ()

    def of(self, region: str) -> tuple[Cohort, ...]:
        return tuple(one for one in self.cohorts if one.region == region)

    def places(self, entity: str, region: str) -> tuple[str, ...]:
        """The cohorts of a region that have a slice of the entity."""
        return tuple(one.place for one in self.of(region) if entity in MEMBERS[one.root])

    def claimed(self, region: str, new: NewRoot) -> str | None:
        """The place of the cohort that takes a new root; None: the region keeps it."""
        rooted = [one for one in self.of(region) if one.root == new.entity]
        for one in rooted:
            if new.number is not None and new.number in one.numbers:
                return one.place
        for one in rooted:
            if new.legal_entity in one.legal_entities:
                return one.place
        at, end = share(new.record_id) if rooted else 0, 0
        for one in rooted:
            end += one.percent * SHARES // 100
            if at < end:
                return one.place
        return None


def share(record_id: str) -> int:
    """Where a root lies among ``SHARES``: the same at all times, in every process, whatever cohorts there are."""
    return int.from_bytes(hashlib.sha256(record_id.encode()).digest()[:8]) % SHARES


def plain(place: str) -> str:
    """The region of a place."""
    return place.partition(DOT)[0]


def cohort_of(place: str) -> str | None:
    """The name of the cohort that a place is; None: it is a region."""
    return place.partition(DOT)[2] or None


def plain_regions(places: Iterable[str]) -> tuple[str, ...]:
    """The regions among these places, in their order."""
    return tuple(place for place in places if cohort_of(place) is None)


def covering(regions: frozenset[str] | None, places: Iterable[str]) -> frozenset[str] | None:
    """Regions with all their cohorts among ``places``: what somebody may see who may see these regions. None: all."""
    if regions is None:
        return None
    return regions | {place for place in places if plain(place) in regions}


def named(entity: str, document: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """The ids that a document names by each reference of ``FOLLOWS``, in its order."""
    return tuple(tuple(_ids(path, document)) for path in FOLLOWS[entity])


def _ids(path: str, document: Mapping[str, Any]) -> Iterator[str]:
    head, _, tail = path.partition("[].")
    value = document.get(head)
    if not tail:
        if value is not None:
            yield value
        return
    for row in value or ():
        if row.get(tail) is not None:
            yield row[tail]


def followed(region: str, roots: Sequence[Sequence[str]], known: Mapping[str, str]) -> str | None:
    """The place that a record of a region takes from the records that it names; None: it names none that says.
    ``roots`` is what ``named`` gives, ``known`` the place of each record that there is. A record of another region, or
    one that nobody knows, says the region's own slice."""
    for ids in roots:
        said = {place if plain(place) == region else region for place in (known.get(one, region) for one in ids)}
        if len(said) == 1:
            return said.pop()
    return None


def pinned(
    cohorts: Cohorts,
    region: str,
    new: NewRoot,
    roots: Sequence[Sequence[str]],
    known: Mapping[str, str],
    there: Collection[tuple[str, str]],
) -> str:
    """The place of a new record. ``there``: the slices that there are; a place without one of the record's entity is
    none for it."""
    place = followed(region, roots, known) or region
    if place == region:
        place = cohorts.claimed(region, new) or region
    return place if (new.entity, place) in there else region


def misplaced(cohorts: Iterable[Cohort], regions: Mapping[str, Collection[str]]) -> str | None:
    """The first thing that is wrong with these cohorts, with its place; None: nothing. ``regions``: the legal entities
    of each region."""
    taken: dict[tuple[str, ...], str] = {}
    percent: dict[tuple[str, str], int] = {}
    for number, one in enumerate(cohorts):
        where = f"cohorts[{number}]"
        if one.region not in regions:
            return f"{where}.region: {one.region!r} is none of {', '.join(regions)}"
        for code in one.legal_entities:
            if code not in regions[one.region]:
                return f"{where}.legal_entities: {code} is none of {', '.join(regions[one.region])}"
        keys = [
            ("name", one.region, one.name),
            *(("numbers", one.region, one.root, each) for each in one.numbers),
            *(("legal_entities", one.region, one.root, code) for code in one.legal_entities),
        ]
        for key in keys:
            if key in taken:
                return f"{where}.{key[0]}: {key[-1]!r} is in {taken[key]} already"
            taken[key] = one.place
        total = percent.get((one.region, one.root), 0) + one.percent
        if total > 100:
            return f"{where}.percent: the cohorts of {one.root}s in {one.region} take {total} percent"
        percent[one.region, one.root] = total
    return None
