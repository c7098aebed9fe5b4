"""Laws of cohorts: the same root gives the same cohort, always."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.canonical import BY_NAME, ENTITIES
from gateway.routing.cohort import (
    FOLLOWS,
    MEMBERS,
    SHARES,
    Cohort,
    Cohorts,
    NewRoot,
    cohort_of,
    covering,
    followed,
    misplaced,
    pinned,
    plain,
    plain_regions,
    share,
)

REGIONS = {"UK": ["UK01", "UK02"], "NO": ["NO01"]}
IDS = st.uuids().map(lambda one: f"prj_{one.hex}")


@st.composite
def cohorts(draw: st.DrawFn) -> Cohorts:
    """Any set of cohorts that the rule files would take."""
    found: list[Cohort] = []
    for number in range(draw(st.integers(0, 4))):
        one = Cohort(
            name=f"wave{number}",
            region=draw(st.sampled_from(sorted(REGIONS))),
            root=draw(st.sampled_from(sorted(MEMBERS))),
            numbers=tuple(draw(st.sets(st.sampled_from(["P-1", "P-2", "P-3"])))),
            percent=draw(st.integers(0, 100)),
        )
        if misplaced([*found, one], REGIONS) is None:
            found.append(one)
    return Cohorts(cohorts=tuple(found))


def slices_of(wanted: Cohorts) -> set[tuple[str, str]]:
    return {(e.name, place) for e in ENTITIES for r in REGIONS for place in (r, *wanted.places(e.name, r))}


def test_tables_are_of_the_canonical_entities() -> None:
    """Each entity says what it follows, by references that it has; what follows a root has a slice where the root has
    one, and what it follows comes before it."""
    assert set(FOLLOWS) == set(BY_NAME)
    order = list(BY_NAME)
    for name, paths in FOLLOWS.items():
        known = {one.path: one.entity for one in BY_NAME[name].references}
        for path in paths:
            assert order.index(known[path]) < order.index(name)
    for root, members in MEMBERS.items():
        assert members[0] == root
        for name in members[1:]:
            targets = {one.entity for one in BY_NAME[name].references if one.path in FOLLOWS[name]}
            assert targets & set(members)


@given(cohorts(), IDS, st.sampled_from(["UK", "NO"]), st.none() | st.sampled_from(["P-1", "P-9"]))
def test_same_root_same_cohort(wanted: Cohorts, root: str, region: str, number: str | None) -> None:
    """Whoever decides, and however often, a root has one place, of its own region; and whatever names it has the same
    one."""
    there = slices_of(wanted)
    new = NewRoot(entity="project", record_id=root, number=number, legal_entity="UK01")
    place = pinned(wanted, region, new, ((),), {}, there)
    assert place == pinned(wanted, region, new, ((),), {}, there)
    assert plain(place) == region
    for entity in ("time_entry", "expense", "invoice"):
        below = NewRoot(entity=entity, record_id="x_1")
        assert pinned(wanted, region, below, ((root,),), {root: place}, there) == place


@given(cohorts(), cohorts(), IDS)
def test_edited_rules_move_nobody(before: Cohorts, after: Cohorts, root: str) -> None:
    """What names a pinned root follows its pin, whatever the rules have become, as long as that cohort has slices."""
    new = NewRoot(entity="project", record_id=root)
    place = pinned(before, "UK", new, ((),), {}, slices_of(before))
    there = slices_of(after) | slices_of(before)
    below = NewRoot(entity="time_entry", record_id="tim_1")
    assert pinned(after, "UK", below, ((root,),), {root: place}, there) == place


@given(st.integers(0, 100), st.integers(0, 100), IDS)
def test_more_percent_takes_more_and_lets_nobody_go(few: int, more: int, root: str) -> None:
    """Raising the percentage of the first cohort only ever adds to it; a later cohort changes nothing of an earlier."""
    few, more = sorted((few, more))

    def claimed(first: int, second: int) -> str | None:
        rows = (
            Cohort(name="a", region="UK", root="project", percent=first),
            Cohort(name="b", region="UK", root="project", percent=second),
        )
        return Cohorts(cohorts=rows).claimed("UK", NewRoot(entity="project", record_id=root))

    if claimed(few, 0) == "UK.a":
        assert claimed(more, 0) == "UK.a"
    assert (claimed(few, 100 - few) == "UK.a") == (claimed(few, 0) == "UK.a")
    assert claimed(few, 100 - few) is not None


def test_percent_is_within_tolerance() -> None:
    """Of twenty thousand roots a cohort of so many percent gets that share to one percent of them all, and which ones
    is the same in every process and version."""
    ids = [f"prj_{number:032x}" for number in range(20_000)]
    rows = (
        Cohort(name="a", region="UK", root="project", percent=10),
        Cohort(name="b", region="UK", root="project", percent=25),
    )
    wanted = Cohorts(cohorts=rows)
    found = Counter(wanted.claimed("UK", NewRoot(entity="project", record_id=one)) for one in ids)
    for place, percent in (("UK.a", 10), ("UK.b", 25), (None, 65)):
        assert abs(found[place] / len(ids) - percent / 100) < 0.01
    assert [share(one) for one in ids[:4]] == [1014, 9231, 6462, 604]
    assert all(0 <= share(one) < SHARES for one in ids)


@given(st.lists(st.sampled_from(["UK", "UK.a", "UK.b", "NO", "NO.a"]), max_size=4))
def test_several_that_do_not_agree_say_nothing(places: list[str]) -> None:
    """A reference that names records in different places leaves the word to the next one; a record of another region
    says no more than the region itself."""
    known = {f"prj_{number}": place for number, place in enumerate(places)}
    said = {place if plain(place) == "UK" else "UK" for place in places}
    expected = said.pop() if len(said) == 1 else "UK.b"
    assert followed("UK", (tuple(known), ("cus_1",)), {**known, "cus_1": "UK.b"}) == expected


@given(st.sets(st.sampled_from(["UK", "NO"])))
def test_who_may_see_a_region_may_see_its_cohorts_and_no_other(regions: set[str]) -> None:
    """Reach is by region: with all of its cohorts, and with nobody else's."""
    places = ("NO", "NO.a", "UK", "UK.a", "UK.b")
    reach = covering(frozenset(regions), places)
    assert reach is not None
    assert {place for place in places if place in reach} == {p for p in places if plain(p) in regions}
    assert covering(None, places) is None
    assert plain_regions(places) == ("NO", "UK")
    assert [cohort_of(one) for one in places] == [None, "a", None, "a", "b"]
