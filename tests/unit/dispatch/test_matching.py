"""Which records of a system a canonical record may be: one by one and many at once, which have to say the same."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from adapters.contract import Adapter, Capability, Facts, Found, Idempotency, Page, Query
from gateway.canonical import BY_NAME
from gateway.dispatch import matching
from gateway.dispatch.matching import AT_ONCE, Wanted, contradicts, matches, matches_of_all


class Product:
    """A product that answers searches from a list, in pages of its own, and keeps as much of our id as it has room
    for."""

    name = "cloud"

    def __init__(
        self, rows: Sequence[Found], *, room: int = 60, page: int = 200, search: bool = True
    ) -> None:
        self.rows = [
            Found(
                native_id=one.native_id,
                external_id=None if one.external_id is None else one.external_id[-room:],
                fields=one.fields,
            )
            for one in rows
        ]
        self.room = room
        self.page = page
        self.filters = frozenset({"timesheet_ref", "number", "legal_entity"}) if search else frozenset[str]()
        self.calls = 0

    def facts(self, entity: str) -> Facts:
        return Facts(
            capabilities=frozenset({Capability.FIND, Capability.SEARCH}),
            idempotency=Idempotency.B_EXTERNAL_ID,
            mapped=frozenset(),
            filters=self.filters,
        )

    async def find(self, entity: str, *, external_id: str | tuple[str, ...]) -> tuple[Found, ...]:
        self.calls += 1
        ids = external_id if isinstance(external_id, tuple) else (external_id,)
        kept = {one[-self.room :] for one in ids}
        return tuple(one for one in self.rows if one.external_id in kept)[: max(10, 2 * len(ids))]

    async def search(self, entity: str, query: Query) -> Page:
        self.calls += 1

        def fits(one: Found, where: Mapping[str, str | tuple[str, ...]]) -> bool:
            return all(
                one.fields.get(name) in (value if isinstance(value, tuple) else (value,))
                for name, value in where.items()
            )

        found = [one for one in self.rows if fits(one, query.where)]
        start = int(query.cursor or 0)
        end = start + min(query.limit, self.page)
        return Page(items=tuple(found[start:end]), next_cursor=str(end) if end < len(found) else None)


def row(number: int, key: str, *, mine: str | None = None, **fields: Any) -> Found:
    return Found(
        native_id=f"N{number}",
        external_id=mine,
        fields={"timesheet_ref": key, "number": key, "legal_entity": "UK01", **fields},
    )


def wanted(record_id: str, key: str | None, company: str | None = "UK01", **marks: str) -> Wanted:
    return Wanted(record_id=record_id, match_key=key, legal_entity=company, marks=marks)


async def both(
    product: Product, entity: str, looked_for: Sequence[Wanted]
) -> dict[str, tuple[list[str], bool]]:
    """What a look for all says, which has to be what the looks one by one say."""
    adapter = cast("Adapter", product)
    many = (await matches_of_all(adapter, entity, looked_for, asyncio.Semaphore(3))).matches
    for one in looked_for:
        alone, whole = await matches(adapter, entity, one.record_id, one)
        found, all_of_them = many[one.record_id]
        assert (len(alone) == 1) == (len(found) == 1), one
        assert len(alone) != 1 or alone[0].native_id == found[0].native_id
        assert len(alone) != 0 or (not found and whole == all_of_them)
    return {
        record_id: ([each.native_id for each in found], whole) for record_id, (found, whole) in many.items()
    }


async def test_by_id_by_key_several_and_none() -> None:
    """Our id counts before the key; several of one key are several; no key and no id is nothing."""
    product = Product(
        [
            row(1, "A", mine="tim_1"),
            row(2, "A"),
            row(3, "B"),
            row(4, "C", date="2026-01-01"),
            row(5, "C", date="2026-01-02"),
            row(6, "D"),
            row(7, "D"),
            Found(native_id="N8", fields={"timesheet_ref": "E", "legal_entity": "US01"}),
        ]
    )
    found = await both(
        product,
        "time_entry",
        [
            wanted("tim_1", "A"),
            wanted("tim_2", "B"),
            wanted("tim_3", "C", date="2026-01-02"),
            wanted("tim_4", "C", date="2026-01-03"),
            wanted("tim_5", "D"),
            wanted("tim_6", "E"),
            wanted("tim_7", None),
        ],
    )
    assert found == {
        "tim_1": (["N1"], True),
        "tim_2": (["N3"], True),
        "tim_3": (["N5"], True),
        "tim_4": ([], True),
        "tim_5": (["N6", "N7"], True),
        "tim_6": ([], True),
        "tim_7": ([], True),
    }


@pytest.mark.parametrize("room", [60, 5])
async def test_many_take_few_calls_also_over_pages(room: int) -> None:
    """A hundred records, half of them held, in pages of seven: each finds its own. A product with room for a part of
    our id is asked one by one, and finds the same."""
    rows = [row(number, f"K{number:03}", mine=f"tim_{number:05}") for number in range(0, 40, 2)]
    rows += [row(number, f"K{number:03}") for number in range(40, 100, 2)]
    product = Product(rows, room=room, page=7)
    looked_for = [wanted(f"tim_{number:05}", f"K{number:03}") for number in range(100)]
    before = product.calls
    adapter = cast("Adapter", product)
    looked = await matches_of_all(adapter, "time_entry", looked_for, asyncio.Semaphore(3))
    assert looked.calls == product.calls - before
    if room == 60:
        assert looked.calls <= 2 * 100 / AT_ONCE + 100 / 7
    for number in range(100):
        found, whole = looked.matches[f"tim_{number:05}"]
        assert whole
        assert [one.native_id for one in found] == ([f"N{number}"] if number % 2 == 0 else [])


async def test_what_was_not_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product that goes on and on is left in time, and then nobody may say that a record is not there."""
    monkeypatch.setattr(matching, "PAGES", 2)
    product = Product([row(number, "A") for number in range(30)], page=10)
    looked = await matches_of_all(
        cast("Adapter", product),
        "time_entry",
        [wanted("tim_x", "A"), wanted("tim_y", "B")],
        asyncio.Semaphore(1),
    )
    assert [whole for _, whole in looked.matches.values()] == [False, False]


async def test_a_product_that_cannot_be_asked_by_key() -> None:
    """Where no filter is offered only our id counts."""
    product = Product([row(1, "A", mine="tim_1"), row(2, "B")], search=False)
    found = await both(product, "time_entry", [wanted("tim_1", "Z"), wanted("tim_2", "B")])
    assert found == {"tim_1": (["N1"], True), "tim_2": ([], True)}


@pytest.mark.parametrize(
    ("shown", "marks", "other"),
    [
        pytest.param({"date": "2026-01-01"}, {"date": "2026-01-01"}, False, id="the same"),
        pytest.param({"date": "2026-01-02"}, {"date": "2026-01-01"}, True, id="another day"),
        pytest.param({}, {"date": "2026-01-01"}, False, id="not shown"),
        pytest.param({"date": "2026-01-02"}, {}, False, id="nothing known"),
        pytest.param({"resource_id": 7}, {"resource_id": "7"}, False, id="a number"),
    ],
)
def test_only_what_is_shown_and_differs_contradicts(
    shown: dict[str, Any], marks: dict[str, str], other: bool
) -> None:
    """What is missing on either side tells nothing."""
    assert contradicts(Found(native_id="N", fields=shown), marks) is other


def test_what_tells_apart_is_a_field_of_the_entity() -> None:
    """Every name is a field, and no entity with a unique number needs any."""
    for entity in BY_NAME.values():
        assert set(entity.told_apart_by) <= set(entity.fields.__struct_fields__)
        assert not (entity.natural_key and entity.told_apart_by)
