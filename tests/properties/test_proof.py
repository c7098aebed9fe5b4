"""Laws of the prover, for the profiles that ship and for made-up ones: exact is never refuted, a loss really loses."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from adapters.contract import Capability
from adapters.converters import plain
from adapters.domain import Domain, Kind
from adapters.mapping import EntityMap
from adapters.options import OdataOptions, RestOptions
from adapters.profile import EntityProfile, FieldForm, Profile, faults, load, names
from adapters.protocols import json_body, xml_body
from adapters.record import Unmappable
from adapters.round_trip import RoundTrip
from gateway.canonical import BY_NAME, ENTITIES, Entity
from gateway.canonical.codes import MINOR_UNITS
from gateway.proof import Loss, Outcome, Prover, prove_pair
from gateway.proof.domains import document, domains

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text("abc é", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=6,
)


def texts(domain: Domain) -> st.SearchStrategy[str]:
    assert domain.pattern is not None
    matching = st.from_regex(domain.pattern)
    words = st.text("aB é9-@._", min_size=1, max_size=domain.max_length)
    long = st.integers(1, domain.max_length).map(lambda n: ("Ab9" * n)[:n])
    found = (matching | words | long).map(lambda text: unicodedata.normalize("NFC", text))
    return found.filter(
        lambda text: domain.fits(text) and not any(unicodedata.category(c) == "Cs" for c in text)
    )


def amounts(domain: Domain, currency: str) -> st.SearchStrategy[dict[str, str]]:
    def of(code: str) -> st.SearchStrategy[dict[str, str]]:
        digits = MINOR_UNITS[code]
        return st.integers(-(10 ** (15 + digits)) + 1, 10 ** (15 + digits) - 1).map(
            lambda n: {"amount": format(Decimal(n).scaleb(-digits), "f"), "currency": code}
        )

    return st.sampled_from(sorted(MINOR_UNITS)).flatmap(of) if domain.free_currency else of(currency)


def values(domain: Domain, currency: str) -> st.SearchStrategy[Any]:
    """Any value that the canonical model lets into the field, made without a look at the probes."""
    digits = st.integers(-(10**21) + 1, 10**21 - 1)
    return {
        Kind.TEXT: lambda: texts(domain),
        Kind.CODE: lambda: st.sampled_from(domain.values),
        Kind.WHOLE: lambda: st.integers(domain.least, domain.most),
        Kind.FLAG: st.booleans,
        Kind.NUMBER: lambda: digits.map(lambda n: plain(Decimal(n).scaleb(-6))),
        Kind.MONEY: lambda: amounts(domain, currency),
        Kind.DAY: lambda: st.dates().map(str),
        Kind.TEXTS: lambda: st.lists(texts(domain), max_size=3),
        Kind.REFERENCE: lambda: st.integers(1, 10**9).map(str),
        Kind.JSON: lambda: st.dictionaries(st.text("abc", min_size=1), json_values, max_size=3),
    }[domain.kind]()


def refuted(prover: Prover, path: str, value: Any) -> bool:
    image = prover.image(path, value)
    return image.refused is not None or not prover.same(path, value, image.value)


SHIPPED = {(name, entity.name): Prover(entity, load(name)) for name in names() for entity in ENTITIES}
PROVED = {key: prover.prove() for key, prover in SHIPPED.items()}
EXACT = {
    key: [field.path for field in proof.fields if field.outcome is Outcome.EXACT]
    for key, proof in PROVED.items()
}
HELD = [pytest.param(*key, id="/".join(key)) for key, exact in EXACT.items() if exact]


@pytest.mark.parametrize(("profile", "entity"), HELD)
@given(data=st.data())
def test_exact_is_never_refuted(profile: str, entity: str, data: st.DataObject) -> None:
    """Of a field that is called exact no value is lost, whichever value the canonical model lets in."""
    prover = SHIPPED[profile, entity]
    path = data.draw(st.sampled_from(EXACT[profile, entity]))
    value = data.draw(values(prover.domains[path], prover.currency))
    assert not refuted(prover, path, value), f"{path}: {value!r} reads back as {prover.image(path, value)}"


@st.composite
def records(draw: st.DrawFn, entity: Entity, paths: tuple[str, ...]) -> dict[str, Any]:
    """A whole record: the fields that every create carries, and any choice of ``paths`` with any values."""
    found = domains(entity)
    currency = draw(st.sampled_from(["EUR", "JPY", "KWD"]))
    made: dict[str, Any] = document(entity, found, "legal_entity", "DE01", currency=currency)
    for path in paths:
        if not draw(st.booleans()) or path == "currency":
            continue
        value = draw(values(found[path], currency))
        head, rows, rest = path.partition("[].")
        if rows:
            made.setdefault(head, [{}])[0][rest] = value
            continue
        head, joint, rest = path.partition(".")
        if joint:
            made.setdefault(head, {})[rest] = value
        else:
            made[head] = value
    return made


@pytest.mark.parametrize("entity", BY_NAME.values(), ids=BY_NAME)
@pytest.mark.parametrize("profile", ["sandbox_legacy", "sandbox_cloud"])
@given(data=st.data())
def test_exact_fields_survive_in_whole_records(profile: str, entity: Entity, data: st.DataObject) -> None:
    """What stands beside a field changes nothing: in any record all exact fields come back as they went."""
    prover = SHIPPED[profile, entity.name]
    exact = tuple(EXACT[profile, entity.name])
    record = data.draw(records(entity, exact))
    read = RoundTrip(prover.profile, entity.name).there_and_back(record)
    for path in exact:
        head, rows, rest = path.partition("[].")
        if rows:
            pairs = zip(record.get(head, ()), read.get(head) or (), strict=True)
            assert all(prover.same(path, row.get(rest), other.get(rest)) for row, other in pairs)
            continue
        head, joint, rest = path.partition(".")
        before, after = (one.get(head) for one in (record, read))
        if joint:
            before, after = ((one or {}).get(rest) for one in (before, after))
        if before is not None:
            assert prover.same(path, before, after), f"{path}: {before!r} reads back as {after!r}"


# --- profiles that nobody ships ---------------------------------------------------------------------------------

_CONVERT: Mapping[Kind, tuple[str, ...]] = {
    Kind.TEXT: ("text", "text", "text", "upper", "int_text"),
    Kind.CODE: ("text", "upper"),
    Kind.WHOLE: ("integer", "integer_text"),
    Kind.FLAG: ("boolean", "y_n", "flag_x", "bool_int", "bool_text"),
    Kind.NUMBER: ("decimal_dot", "decimal_comma", "decimal_number", "float_quantity", "cents", "tagged_decimal",
                  "tagged_timedelta_hours"),
    Kind.MONEY: ("decimal_dot", "decimal_comma", "decimal_any", "cents", "tagged_decimal"),
    Kind.DAY: ("date_iso", "date_dmy_dots", "date_compact", "odata_v2_date", "tagged_date"),
    Kind.TEXTS: ("texts", "list_commas", "list_semicolons", "json_text"),
    Kind.REFERENCE: ("text", "int_text"),
    Kind.JSON: ("json_text", "any"),
}  # fmt: skip


@st.composite
def forms(draw: st.DrawFn, domain: Domain, native: str) -> FieldForm:
    chosen: dict[str, Any] = {"convert": draw(st.sampled_from(_CONVERT[domain.kind]))}
    if domain.kind is Kind.MONEY:
        chosen["amount"] = native
        currency = draw(st.sampled_from(["own", "fixed"]))
        chosen |= {"currency": native + "Cur"} if currency == "own" else {"fixed_currency": "EUR"}
    else:
        chosen["path"] = native
    if domain.kind is Kind.TEXT and draw(st.booleans()):
        chosen["max_length"] = draw(st.integers(1, 300))
    if domain.kind in (Kind.NUMBER, Kind.MONEY) and draw(st.booleans()):
        chosen["scale"] = draw(st.integers(0, 6))
    if domain.kind is Kind.CODE and draw(st.booleans()):
        codes = draw(
            st.lists(st.sampled_from("ABCDEFG"), min_size=len(domain.values), max_size=len(domain.values))
        )
        table: dict[str, str | list[str]] = {}
        for code, value in zip(codes, domain.values, strict=True):
            table.setdefault(code, []).append(value)  # type: ignore[union-attr]
        chosen["values"] = table
    if domain.kind is Kind.FLAG and draw(st.booleans()):
        chosen["default"] = draw(st.booleans())
    if domain.kind is Kind.WHOLE and draw(st.booleans()):
        chosen["empty"] = 0
    for name in ("writable", "readable", "on_update"):
        if draw(st.integers(0, 9)) == 0:
            chosen[name] = False
    return FieldForm(**chosen)


@st.composite
def profiles(draw: st.DrawFn, entity: Entity) -> Profile:
    """Any product that holds some fields of the entity somehow."""
    fields: dict[str, str | FieldForm] = {}
    found = domains(entity)
    paths = draw(st.lists(st.sampled_from(sorted(found)), min_size=1, max_size=6, unique=True))
    for number, path in enumerate(paths):
        domain = found[path]
        head, rows, rest = path.partition("[].")
        form = draw(forms(domain, f"F{number}"))
        if rows:
            outer = fields.setdefault(head, FieldForm(path=f"L{head}", each={}))
            assert isinstance(outer, FieldForm)
            assert outer.each is not None
            outer.each[rest] = form
        else:
            fields[path] = form
    xml = draw(st.booleans())
    spec = EntityProfile(
        resource="r", key="K", fields=fields, capabilities=frozenset({Capability.CREATE, Capability.SEARCH})
    )
    profile = Profile(
        protocol="rest" if xml else "odata",
        product="made_up",
        version="1",
        source="nowhere, read 2026-11",
        grade="simulated",
        entities={entity.name: spec},
        options=RestOptions(format="xml") if xml else OdataOptions(),
    )
    assume(not list(faults(profile)))
    return profile


#: Each example proves a whole profile, so there are fewer, and a failing one is shown as it was found.
made_up = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
ONES = ("customer", "time_entry", "invoice")


@pytest.mark.parametrize("entity", ONES)
@made_up
@given(data=st.data())
def test_exact_is_never_refuted_of_any_profile(entity: str, data: st.DataObject) -> None:
    """Also of a profile that nobody has thought of: exact is exact."""
    prover = Prover(BY_NAME[entity], data.draw(profiles(BY_NAME[entity])))
    for field in prover.prove().fields:
        if field.outcome is Outcome.EXACT:
            value = data.draw(values(prover.domains[field.path], prover.currency))
            assert not refuted(prover, field.path, value), (
                f"{field.path}: {value!r}, {prover.forms(field.path)}"
            )


def by_hand(profile: Profile, entity: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The way there and back without the prover's own: encoded, as bytes, and decoded."""
    entity_map = EntityMap(profile, entity)
    native = entity_map.encode(fields, creating=True)
    if profile.protocol == "rest":
        return entity_map.decode(xml_body.decode(xml_body.encode("r", native))[1])
    return entity_map.decode(json_body.decode(json_body.encode(native)))


@pytest.mark.parametrize("entity", ONES)
@made_up
@given(data=st.data())
def test_every_counterexample_really_loses(entity: str, data: st.DataObject) -> None:
    """A finding with an example is seen again by hand: the value is refused, or it reads back as the finding says."""
    profile = data.draw(profiles(BY_NAME[entity]))
    prover = Prover(BY_NAME[entity], profile)
    for field in prover.prove().fields:
        written = all(form.writable for form in prover.forms(field.path))
        for finding in field.findings:
            if finding.example is None or not written or "[" in field.path or "." in field.path:
                continue
            try:
                read = by_hand(profile, entity, {field.path: finding.example})
            except (Unmappable, ValueError):
                assert finding.loss is Loss.REFUSED
                continue
            assert finding.loss is not Loss.REFUSED
            assert read[field.path] == finding.becomes
            assert not prover.same(field.path, finding.example, read[field.path])
            if finding.twin is not None:
                other = by_hand(profile, entity, {field.path: finding.twin})
                assert not prover.same(field.path, finding.example, finding.twin)
                assert prover.same(field.path, other[field.path], finding.becomes)


@pytest.mark.parametrize("second", names())
@pytest.mark.parametrize("first", names())
def test_a_product_and_itself(first: str, second: str) -> None:
    """What a product holds survives the way through the same product; no field is left without a verdict."""
    for entity in ENTITIES:
        pair = prove_pair(entity, load(first), load(second))
        assert [field.path for field in pair.fields] == list(domains(entity))
        if first == second:
            kept = {Outcome.EXACT, Outcome.NOT_HELD, Outcome.UNPROVEN}
            assert {field.path for field in pair.fields if field.outcome not in kept} <= {"state"}
