"""What a native field can hold, and the table of one entity in one dialect. Data only.

A record keeps *plain values* under native names: ``str``, ``int``, ``bool``, ``Decimal``, an ISO day as
``str``, a native code, the native key of a reference, or a list of such dicts. The dialects turn them into
wire form and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec

#: One record, or one row of a list inside it.
Values = dict[str, Any]


class Text(msgspec.Struct, frozen=True):
    length: int  #: longer text is cut without a word


class Amount(msgspec.Struct, frozen=True):
    """Money without its currency: exact, never rounded, at most three decimals."""


class Number(msgspec.Struct, frozen=True):
    places: int  #: more decimals are rounded half up without a word


class Whole(msgspec.Struct, frozen=True):
    """An integer."""


class Day(msgspec.Struct, frozen=True):
    """A business day."""


class Flag(msgspec.Struct, frozen=True):
    """True or false."""


class Code(msgspec.Struct, frozen=True):
    words: Mapping[str, str]  #: native code -> canonical word


class Ref(msgspec.Struct, frozen=True):
    entity: str  #: holds the native key of a record of this entity


class Texts(msgspec.Struct, frozen=True):
    item: str  #: name of one item on a wire that needs one
    length: int


class Rows(msgspec.Struct, frozen=True):
    item: str  #: name of one row on a wire that needs one
    fields: tuple[Field, ...]


class Group(msgspec.Struct, frozen=True):
    """A complex value of one record."""

    fields: tuple[Field, ...]


Kind = Text | Amount | Number | Whole | Day | Flag | Code | Ref | Texts | Rows | Group


class Field(msgspec.Struct, frozen=True):
    name: str  #: native
    kind: Kind
    canon: str  #: the canonical field held here; x.amount and x.currency are its halves
    required: bool = False  #: a create without it is refused


class Table(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One entity in one dialect."""

    entity: str  #: canonical name
    path: str  #: how the wire addresses the set
    item: str  #: how the wire names one record
    key: str  #: name of the native key
    first: int  #: first number of the range (where there are several ranges: of each)
    prefix: str = ""  #: of a native key
    fields: tuple[Field, ...]
    natural: str  #: canonical natural key
    main: tuple[str, ...]  #: canonical fields that the effect log shows

    @cached_property
    def by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    @cached_property
    def by_canon(self) -> dict[str, Field]:
        return {field.canon: field for field in self.fields}

    @cached_property
    def status(self) -> Field:
        return self.by_canon["state"]

    @cached_property
    def word_of(self) -> Mapping[str, str]:
        """Native state -> canonical state."""
        assert isinstance(self.status.kind, Code)
        return self.status.kind.words

    @cached_property
    def indexed(self) -> tuple[str, ...]:
        """Native names that a search by value must find quickly: the natural key and the references."""
        return tuple(f.name for f in self.fields if f.canon == self.natural or isinstance(f.kind, Ref))
