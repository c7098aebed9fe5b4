"""Laws of the bridge, whatever parts and however much."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.canonical import BY_NAME
from gateway.reconcile.bridge import Part, Term, bridge
from gateway.reconcile.measures import shown
from gateway.reconcile.ranges import SIZE, cut, digest
from gateway.reconcile.tally import Counting, together

#: Up to the widest that any ledger holds, with more decimals than any currency has.
amounts = st.decimals(
    min_value=Decimal(-(10**18)), max_value=Decimal(10**18), places=6, allow_nan=False, allow_infinity=False
)
currencies = st.sampled_from(["EUR", "USD", "GBP", "CHF", "JPY", ""])
#: One record: its term, its measure and currency, and what it weighs on each side.
records = st.lists(
    st.tuples(st.sampled_from(Term), st.sampled_from(["total", "balance"]), currencies, amounts, amounts),
    max_size=60,
)
Record = tuple[Term, str, str, Decimal, Decimal]


def totals(found: list[Record]) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
    """Both sides' sums, by another arithmetic than the program's."""
    sums: dict[tuple[str, str], list[Fraction]] = {}
    for _, measure, currency, authority, mirror in found:
        both = sums.setdefault((measure, currency), [Fraction(0), Fraction(0)])
        both[0] += Fraction(authority)
        both[1] += Fraction(mirror)
    return {key: (_decimal(both[0]), _decimal(both[1])) for key, both in sums.items()}


def _decimal(value: Fraction) -> Decimal:
    return Decimal(int(value * 10**6)).scaleb(-6)


@given(records)
def test_it_sums_to_zero_whatever_the_parts(found: list[Record]) -> None:
    """Authority total = mirror total + late + queued + in case + waived + unexplained, to the last decimal."""
    for line in bridge(totals(found), [Part(*one) for one in found]):
        assert line.residual == 0
        assert Fraction(line.authority) == Fraction(line.mirror) + sum(map(Fraction, line.terms.values()))


@given(records)
def test_each_term_is_its_own_records_and_no_others(found: list[Record]) -> None:
    """A term's amount is the sum of its records' parts, and its count the number of those that weigh something."""
    lines = {
        (line.measure, line.currency): line for line in bridge(totals(found), [Part(*one) for one in found])
    }
    for key, line in lines.items():
        for term in Term:
            mine = [one for one in found if one[0] is term and (one[1], one[2]) == key]
            assert Fraction(line.terms[term]) == sum(Fraction(one[3]) - Fraction(one[4]) for one in mine)
            assert line.records[term] == sum(one[3] != one[4] for one in mine)


@given(records, amounts.filter(bool))
def test_a_part_that_is_lost_is_seen(found: list[Record], lost: Decimal) -> None:
    """If a record weighs on the totals and is in no term, the bridge does not sum to zero: it cannot hide it."""
    sums = totals([*found, (Term.UNEXPLAINED, "total", "EUR", lost, Decimal(0))])
    (line,) = (
        line
        for line in bridge(sums, [Part(*one) for one in found])
        if (line.measure, line.currency) == ("total", "EUR")
    )
    assert line.residual == lost


@given(amounts, currencies)
def test_showing_an_amount_never_changes_it(amount: Decimal, currency: str) -> None:
    """However it is scaled to be read, it is the same number."""
    assert Fraction(shown(amount, currency)) == Fraction(amount)


documents = st.lists(
    st.fixed_dictionaries(
        {
            "state": st.sampled_from(["draft", "posted", "paid"]),
            "legal_entity": st.sampled_from(["UK01", "DE01"]),
            "issue_date": st.sampled_from(["2026-01-31", "2026-02-01"]),
            "total": st.builds(
                lambda cents, currency: {"amount": str(Decimal(cents).scaleb(-2)), "currency": currency},
                st.integers(-(10**14), 10**14),
                st.sampled_from(["EUR", "GBP"]),
            ),
        }
    ),
    max_size=30,
)


@given(documents, st.integers(1, 7))
def test_ranges_add_up_to_the_whole(found: list[dict[str, Any]], size: int) -> None:
    """However a set is cut into ranges, their tallies together are the tally of the set."""
    invoice = BY_NAME["invoice"]
    mapped = frozenset({"total"})
    whole = Counting(invoice, mapped)
    pieces: list[Counting] = []
    for number, document in enumerate(found):
        if number % size == 0:
            pieces.append(Counting(invoice, mapped))
        for counting in (whole, pieces[-1]):
            counting.add("authority", document)
            counting.equal += 1
    assert together(piece.tally() for piece in pieces) == together([whole.tally()])
    assert whole.tally().records("authority") == len(found)
    assert whole.tally().states["authority"] == Counter(one["state"] for one in found)


ids = st.lists(st.integers(0, 100_000), min_size=1, max_size=4 * SIZE, unique=True).map(
    lambda numbers: [f"inv_{number:06d}" for number in sorted(numbers)]
)


def _ranges(found: list[str], before: list[str]) -> list[str]:
    """Where a run cuts, given where the one before has."""
    lasts: list[str] = []
    rest = found
    while rest:
        after = lasts[-1] if lasts else ""
        lasts.append(cut(rest[: 2 * SIZE], [one for one in before if one > after][:4]))
        rest = [one for one in rest if one > lasts[-1]]
    return lasts


@given(ids)
def test_an_unchanged_set_is_cut_where_it_was_cut(found: list[str]) -> None:
    """The second run over the same records has the same ranges, each of a bounded size, and every record in one."""
    first = _ranges(found, [])
    assert _ranges(found, first) == first
    assert first[-1] == found[-1]
    counts = Counter(next(last for last in first if one <= last) for one in found)
    assert sum(counts.values()) == len(found)
    assert max(counts.values()) < 2 * SIZE


@given(ids, st.integers(1, 3 * SIZE))
def test_new_records_leave_full_ranges_where_they_were(found: list[str], more: int) -> None:
    """Records are minted in the order of their ids: what comes later changes no full range before it."""
    first = _ranges(found, [])
    grown = found + [f"inv_9{number:06d}" for number in range(more)]
    second = _ranges(grown, first)
    assert second[: len(first) - 1] == first[:-1]


def test_a_digest_tells_one_digit() -> None:
    """Another record, another value, and one record less each give another digest."""
    rows = [("inv_1", "aa"), ("inv_2", "bb")]
    others = [[("inv_1", "aa")], [("inv_1", "aa"), ("inv_2", "bc")], [("inv_1", "aa"), ("inv_3", "bb")]]
    assert len({digest(one) for one in [rows, *others]}) == 4
