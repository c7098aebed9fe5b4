"""A record, and the objects and lists in it, between its native and its canonical form; pure.

``values`` has the leaves; here they are put together, once, into two functions for the whole tree of an entity:
``record_read`` and ``record_put``. A value that does not fit raises ``Unmappable`` with its canonical path
(``lines[2].amount``), never with the value itself: it may be personal, and the message travels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

from adapters.contract import Fields
from adapters.profile import FieldForm, Profile, as_form
from adapters.values import (
    Native,
    Put,
    Read,
    getter,
    money_put,
    money_read,
    scalar_put,
    scalar_read,
    setter,
)

#: What a value that does not fit raises on its way; the path is added where it is caught.
FAULTS = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError)
_ABSENT: Any = object()

Tree = dict[str, "FieldForm | Tree"]


class Unmappable(ValueError):
    """A value that this product, or the canonical field, cannot hold."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.path = path
        self.reason = reason

    def under(self, above: str) -> Unmappable:
        joint = "" if self.path.startswith("[") or not self.path else "."
        return Unmappable(f"{above}{joint}{self.path}", self.reason)


class Aim(NamedTuple):
    """What a native record is made for."""

    defaults: bool  #: fields that are absent take their default
    #: an amount of the record's own currency brings it along where the record has none: a part of a record
    #: says
    #: how it would read without being whole
    currency: bool = False


CREATE, UPDATE, EXPECT = Aim(defaults=True), Aim(defaults=False), Aim(defaults=False, currency=True)
#: Inside a list or an object, which are always replaced as a whole.
_INSIDE = {CREATE: CREATE, UPDATE: CREATE, EXPECT: Aim(defaults=True, currency=True)}
_INSIDE[_INSIDE[EXPECT]] = _INSIDE[EXPECT]


def tree_of(forms: Mapping[str, FieldForm]) -> Tree:
    tree: Tree = {}
    for name, form in forms.items():
        *above, last = name.split(".")
        node = tree
        for part in above:
            node = cast("Tree", node.setdefault(part, {}))
        node[last] = form
    return tree


def record_read(tree: Tree, profile: Profile) -> Callable[[Native, Native], Fields]:
    pairs = tuple((name, _read(form, profile)) for name, form in tree.items())

    def read(native: Native, root: Native) -> Fields:
        out: Fields = {}
        name = ""
        try:
            for name, decode in pairs:
                out[name] = decode(native, root)
        except Unmappable as error:
            raise error.under(name) from error.__cause__
        except FAULTS as error:
            raise Unmappable(name, str(error)) from error
        return out

    return read


def record_put(tree: Tree, profile: Profile, aim: Aim) -> Put:
    triples = tuple(
        (
            name,
            _put(form, profile, aim),
            form.default if aim.defaults and isinstance(form, FieldForm) else None,
        )
        for name, form in tree.items()
    )

    def put(fields: Any, native: Native, root: Native) -> None:
        get = fields.get
        name = ""
        try:
            for name, encode, default in triples:
                value = get(name, _ABSENT)
                if value is _ABSENT:
                    if default is None:
                        continue
                    value = default
                encode(value, native, root)
        except Unmappable as error:
            raise error.under(name) from error.__cause__
        except FAULTS as error:
            raise Unmappable(name, str(error)) from error

    return put


def _read(form: FieldForm | Tree, profile: Profile) -> Read:
    if isinstance(form, dict):
        return _object_read(form, profile)
    if form.constant is not None:
        constant = form.constant
        return lambda native, root: constant
    if form.amount is not None:
        return money_read(form, profile)
    if form.each is not None:
        return _list_read(form, profile)
    if form.first is not None:
        return _first_read(form, profile)
    return scalar_read(form, profile)


def _put(form: FieldForm | Tree, profile: Profile, aim: Aim) -> Put:
    if isinstance(form, dict):
        return _object_put(form, profile, _INSIDE[aim])
    if form.amount is not None:
        return money_put(form, profile, brings_currency=aim.currency)
    if form.each is not None:
        return _list_put(form, profile, _INSIDE[aim])
    if form.first is not None:
        return _first_put(form, profile, _INSIDE[aim])
    return scalar_put(form, profile)


def _object_read(tree: Tree, profile: Profile) -> Read:
    inner = record_read(tree, profile)

    def read(native: Native, root: Native) -> Any:
        found = inner(native, root)
        return found if any(value is not None for value in found.values()) else None

    return read


def _object_put(tree: Tree, profile: Profile, aim: Aim) -> Put:
    inner = record_put(tree, profile, aim)
    nothing = dict.fromkeys(tree)

    def put(value: Any, native: Native, root: Native) -> None:
        # An object replaces the old one as a whole: what it does not name is emptied.
        inner(nothing if value is None else {**nothing, **value}, native, root)

    return put


def _list_read(form: FieldForm, profile: Profile) -> Read:
    assert form.path is not None
    assert form.each is not None
    get = getter(form.path)
    inner = record_read(tree_of({n: as_form(f) for n, f in form.each.items()}), profile)

    def read(native: Native, root: Native) -> Any:
        found = get(native)
        if found is None or found == "":
            return []
        if type(found) is dict:
            rows = [cast("Native", found)]
        elif type(found) is list:
            rows = cast("list[Native]", found)
        else:
            raise ValueError("is not a list")
        index = 0
        try:
            out: list[Fields] = []
            for item in rows:
                out.append(inner(item, root))
                index += 1
        except Unmappable as error:
            raise error.under(f"[{index}]") from error.__cause__
        return out

    return read


def _list_put(form: FieldForm, profile: Profile, aim: Aim) -> Put:
    assert form.path is not None
    assert form.each is not None
    put = setter(form.path)
    inner = record_put(tree_of({n: as_form(f) for n, f in form.each.items()}), profile, aim)

    def encode(value: Any, native: Native, root: Native) -> None:
        out: list[Native] = []
        try:
            for item in value or ():
                made: Native = {}
                inner(item, made, root)
                out.append(made)
        except Unmappable as error:
            raise error.under(f"[{len(out)}]") from error.__cause__
        put(native, out)

    return encode


def _first_read(form: FieldForm, profile: Profile) -> Read:
    assert form.path is not None
    assert form.first is not None
    get = getter(form.path)
    inner = _object_read(tree_of({n: as_form(f) for n, f in form.first.items()}), profile)

    def read(native: Native, root: Native) -> Any:
        found = get(native)
        if type(found) is list:
            items = cast("list[Any]", found)
            found = items[0] if items else None
        return inner(cast("Native", found), root) if isinstance(found, dict) else None

    return read


def _first_put(form: FieldForm, profile: Profile, aim: Aim) -> Put:
    assert form.path is not None
    assert form.first is not None
    put = setter(form.path)
    inner = _object_put(tree_of({n: as_form(f) for n, f in form.first.items()}), profile, aim)

    def encode(value: Any, native: Native, root: Native) -> None:
        made: Native = {}
        if value is not None:
            inner(value, made, root)
        put(native, [made] if made else [])

    return encode
