"""Record <-> plain canonical fields, compiled once per entity of a profile; pure.

``EntityMap.decode`` reads a native record, ``encode`` makes one, ``expect`` says how canonical fields would
read after the round trip. ``record`` has the functions that an ``EntityMap`` is compiled of. Here is what an
entity adds to them: markers, ids and constants, and which paths a read and a search need.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, cast

from adapters.contract import Fields
from adapters.profile import EntityProfile, FieldForm, Profile, as_form
from adapters.record import CREATE, EXPECT, FAULTS, UPDATE, Unmappable, record_put, record_read, tree_of
from adapters.values import ROWS, Leaf, Native, getter, leaf, setter

#: A marker at the end of a text that people read, too.
_SUFFIX = re.compile(r"(?:^| )\[tw:([^\[\]\s]+)\]$")
_SUFFIX_FRAME = len(" [tw:]")
#: Ends the name of the field in a canonical path.
_TOP = re.compile(r"[.\[]")


class EntityMap:
    """The mapping of one entity of one product."""

    def __init__(self, profile: Profile, entity: str) -> None:
        spec = profile.entities[entity]
        self.spec = spec
        forms = dict(spec.forms())
        if spec.marker is not None and spec.marker.style == "suffix":
            forms = {name: _leave_room(form, spec) for name, form in forms.items()}
        first = _currency_paths(forms)
        # The record's own currency is written before the amounts that are checked against it.
        ordered = dict(sorted(forms.items(), key=lambda item: not first & {item[1].path, item[1].currency}))
        self._read = record_read(tree_of({n: f for n, f in ordered.items() if f.readable}), profile)
        self._create = record_put(tree_of(_sent(ordered, on_create=True)), profile, CREATE)
        self._update = record_put(tree_of(_sent(ordered, on_create=False)), profile, UPDATE)
        self._whole = record_put(
            tree_of({n: f for n, f in ordered.items() if f.constant is None}), profile, EXPECT
        )
        self._leaves = {n: leaf(f, profile) for n, f in forms.items() if f.path and not (f.each or f.first)}
        self._only = tuple((name, form.only) for name, form in forms.items() if form.only is not None)
        self._row_fields = frozenset(name for name, form in forms.items() if form.each is not None)
        self._copies = tuple(_row_copies(forms, self._leaves))
        self._suffixed = _suffixed_field(spec, forms)
        self._get_marker = getter(spec.marker.path) if spec.marker else None
        self._put_marker = setter(spec.marker.path) if spec.marker else None
        self._constants = tuple((setter(path), value) for path, value in spec.constants.items())
        self._external = spec.external
        self._put_external = setter(spec.external.path) if spec.external else None
        self.mapped = frozenset(name.partition(".")[0] for name in forms)
        self.assigned = frozenset(name for name, form in forms.items() if form.assigned)
        self.reads = tuple(dict.fromkeys(_native_paths(spec, forms)))
        self.lists = frozenset(path for path in _list_paths(forms))
        self._canonical = dict(_reverse(forms))

    def decode(self, native: Native) -> Fields:
        fields = self._read(native, native)
        if self._suffixed is not None and type(text := fields.get(self._suffixed)) is str:
            fields[self._suffixed] = _SUFFIX.sub("", text) or None
        return fields

    @property
    def beside_marker(self) -> str | None:
        """The field whose text ends with the marker."""
        return self._suffixed

    def encode(
        self, fields: Mapping[str, Any], *, creating: bool, beside: Mapping[str, Any] | None = None
    ) -> Native:
        """``beside``: values of the record that are not to be written, but that rows which are may need."""
        native: Native = {}
        (self._create if creating else self._update)(fields, native, native)
        # What the product makes of rows may only be told by the record that they are part of.
        rows_beside: Mapping[str, Any] = (
            beside if beside is not None and self._row_fields & fields.keys() else {}
        )
        for name, only in self._only:
            if not _holds(fields.get(name, rows_beside.get(name)), only):
                raise Unmappable(name, f"can only be {only} in this product")
        for name, write, rows, put in self._copies:
            value = fields.get(name)
            if value is None and beside is not None:
                value = beside.get(name)
            if value is not None:
                for row in native.get(rows) or ():
                    put(row, write(value))
        return native

    def expect(self, fields: Mapping[str, Any]) -> Fields:
        left = fields
        while True:
            native: Native = {}
            try:
                self._whole(left, native, native)
                read = self._read(native, native)
            except Unmappable as error:
                # What the product cannot hold, it does not give back either.
                wrong = _TOP.split(error.path, maxsplit=1)[0]
                if wrong not in left:
                    raise
                left = {name: value for name, value in left.items() if name != wrong}
                continue
            return {name: value for name, value in read.items() if name in left}

    def filter_value(self, name: str, value: str) -> Any:
        """A canonical value as the product would hold it, to search by."""
        found = self._leaves.get(name)
        try:
            return value if found is None else found.write(value)
        except FAULTS as error:
            raise Unmappable(name, str(error)) from error

    def canonical_path(self, native: str) -> str | None:
        """The field that an error of the product is about: ``Lines/1/TaxCode`` is ``lines[].tax_code``."""
        return self._canonical.get(_names(native))

    def kept_marker(self, marker: str) -> str:
        """The part of a marker that the product has room for."""
        assert self.spec.marker is not None
        return marker[-self.spec.marker.max_length :]

    def kept_external_id(self, external_id: str) -> str:
        """The part of a canonical id that the product has room for."""
        assert self._external is not None
        return external_id if self._external.max_length is None else external_id[-self._external.max_length :]

    def stamp(self, native: Native, external_id: str) -> None:
        """What every new record of this product gets: its constants, and our id where there is a place for
        it."""
        for put, value in self._constants:
            put(native, value)
        if self._put_external is not None:
            self._put_external(native, self.kept_external_id(external_id))

    def mark(self, native: Native, marker: str) -> None:
        if self._put_marker is None or self._get_marker is None:
            return
        kept = self.kept_marker(marker)
        if self._suffixed is None:
            self._put_marker(native, kept)
            return
        text = self._get_marker(native)
        self._put_marker(native, f"{text} [tw:{kept}]" if text else f"[tw:{kept}]")

    def marker_of(self, native: Native) -> str | None:
        found = self._get_marker(native) if self._get_marker is not None else None
        if type(found) is not str or not found:
            return None
        if self.spec.marker is None or self.spec.marker.style == "whole":
            return found
        match = _SUFFIX.search(found)
        return match[1] if match else None


def compile_profile(profile: Profile) -> dict[str, EntityMap]:
    return {entity: EntityMap(profile, entity) for entity in profile.entities}


def _leave_room(form: FieldForm, spec: EntityProfile) -> FieldForm:
    """Text that shares its field with the marker is cut early enough that the marker always fits."""
    from msgspec.structs import replace

    marker = spec.marker
    if marker is None or form.path != marker.path or form.max_length is None:
        return form
    return replace(form, max_length=form.max_length - marker.max_length - _SUFFIX_FRAME)


def _suffixed_field(spec: EntityProfile, forms: Mapping[str, FieldForm]) -> str | None:
    if spec.marker is None or spec.marker.style == "whole":
        return None
    return next((name for name, form in forms.items() if form.path == spec.marker.path), None)


def _sent(forms: Mapping[str, FieldForm], *, on_create: bool) -> dict[str, FieldForm]:
    return {
        name: _sent_rows(form, on_create=on_create)
        for name, form in forms.items()
        if form.writable and form.constant is None and (on_create or form.on_update)
    }


def _sent_rows(form: FieldForm, *, on_create: bool) -> FieldForm:
    """The same for the fields inside a list, of which some may be the product's to compute."""
    from msgspec.structs import replace

    for part in ("each", "first"):
        if getattr(form, part) is not None:
            form = replace(form, **{part: _sent(_nested(form), on_create=on_create)})
    return form


def _holds(value: Any, only: str) -> bool:
    if type(value) is dict:
        amount = cast("Fields", value)["amount"]
        return Decimal(amount) == Decimal(only)
    return value is None or value == only


def _row_copies(
    forms: Mapping[str, FieldForm], leaves: Mapping[str, Leaf]
) -> Iterator[tuple[str, Callable[[Any], Any], str, Callable[[Native, Any], None]]]:
    """Fields of the record that the product wants in each row of a list, too: (field, write, list, put)."""
    for name, form in forms.items():
        for path in form.also:
            rows, _, inner = path.partition(ROWS)
            if inner:
                yield name, leaves[name].write, rows, setter(inner)


def _nested(form: FieldForm) -> Mapping[str, FieldForm]:
    return {name: as_form(inner) for name, inner in (form.each or form.first or {}).items()}


def _currency_paths(forms: Mapping[str, FieldForm]) -> set[str]:
    """Native paths of the record that amounts anywhere in it refer to as their currency."""
    found = {f.currency[1:] for f in forms.values() if f.currency is not None and f.currency.startswith("/")}
    for form in forms.values():
        found |= _currency_paths(_nested(form))
    return found


def _own_paths(form: FieldForm, above: str) -> Iterator[str]:
    for path in (form.path, form.amount, form.currency):
        if path is not None:
            yield path[1:] if path.startswith("/") else above + path


def _native_paths(spec: EntityProfile, forms: Mapping[str, FieldForm]) -> Iterator[str]:
    """Every native path that a read needs, for protocols that must name them."""
    external = spec.external
    yield spec.key
    for path in (spec.version, spec.modified, spec.marker and spec.marker.path, external and external.path):
        if path is not None and path != "etag":
            yield path
    yield from _form_paths(forms, "")


def _form_paths(forms: Mapping[str, FieldForm], above: str) -> Iterator[str]:
    for form in forms.values():
        if not form.readable:
            continue
        nested = _nested(form)
        if nested:
            yield from _form_paths(nested, f"{above}{form.path}.")
        else:
            yield from _own_paths(form, above)


def _list_paths(forms: Mapping[str, FieldForm]) -> Iterator[str]:
    return (form.path for form in forms.values() if (form.each or form.first) and form.path)


def _names(native: str) -> str:
    """A path without the places in its lists, which products count from 0 or from 1."""
    return ".".join(part for part in re.split(r"[./\[\]]+", native) if part and not part.isdigit())


def _reverse(
    forms: Mapping[str, FieldForm], native: str = "", canonical: str = ""
) -> Iterator[tuple[str, str]]:
    for name, form in forms.items():
        for path in (form.path, form.amount, form.currency, *form.also):
            if path is not None and not path.startswith("/"):
                yield native + path.replace(ROWS, "."), canonical + name
                # XML has an element for the list and one for a row; an error may leave the row out.
                wrapper, _, row = path.rpartition(".")
                if wrapper and row and form.each:
                    yield from _reverse(_nested(form), f"{native}{wrapper}.", f"{canonical}{name}[].")
        yield from _reverse(_nested(form), f"{native}{form.path}.", f"{canonical}{name}[].")
