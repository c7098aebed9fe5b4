"""One record through one product's mapping and back, as bytes and all, and without sending anything. Pure.

``expect`` of an ``EntityMap`` foretells a read; this is the way itself: what a create would send, spelled as the
protocol spells it, read as an answer would be read. Fields that are never sent (the product makes them itself) are
read as ``expect`` foretells them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from adapters.contract import Fields
from adapters.mapping import EntityMap
from adapters.options import RestOptions
from adapters.profile import EntityProfile, FieldForm, Profile, as_form
from adapters.protocols import json_body, xml_body
from adapters.record import Unmappable
from adapters.values import Native
from adapters.wire import Broken

_MARKER = "TW-0123456789ABCDEF0123456789ABCDEF"
_RECORD_ID = "rec_01930000-0000-7000-8000-000000000001"


class RoundTrip:
    """The way of one entity through one product."""

    def __init__(self, profile: Profile, entity: str) -> None:
        self.profile = profile
        self.spec = profile.entities[entity]
        self.map = EntityMap(profile, entity)
        options = profile.options
        self._xml = isinstance(options, RestOptions) and options.format == "xml"

    def there_and_back(self, fields: Mapping[str, Any]) -> Fields:
        """The fields as they read after a create. Raises Unmappable where the product cannot hold one."""
        native = self.map.encode(fields, creating=True)
        self.map.stamp(native, _RECORD_ID)
        self.map.mark(native, _MARKER)
        try:
            carried = self._carried(native)
        except Broken as error:
            raise Unmappable("", f"cannot be spelled for this protocol: {error}") from error
        return self.map.decode(carried)

    def foretold(self, fields: Mapping[str, Any], *, written: bool) -> Fields:
        """The same for fields that are read and never sent; of a record that is ``written`` they may still be why it
        is refused. What the product cannot hold is not among them."""
        if written:
            self.map.encode(fields, creating=True)
        return self.map.expect(fields)

    def _carried(self, native: Native) -> Native:
        if self._xml:
            read = xml_body.decode(xml_body.encode("record", native))[1]
        else:
            read = json_body.decode(json_body.encode(native))
        return cast("Native", read if isinstance(read, dict) else {})


def form_at(spec: EntityProfile, path: str) -> tuple[FieldForm, ...]:
    """The forms that carry the canonical ``path`` (``name``, ``billing_address.city``, ``lines[].amount``), outermost
    first; none: the profile does not map it."""
    whole = spec.form(path)
    if whole is not None:
        return (whole,)
    for joint in ("[].", "."):
        head, found, rest = path.partition(joint)
        if not found:
            continue
        outer = spec.form(head)
        if outer is None:
            continue
        members = outer.each or outer.first
        if members is None:
            return (outer,)  # the whole list or object lies in one native value
        inner = members.get(rest)
        return () if inner is None else (outer, as_form(inner))
    return ()


__all__ = ["RoundTrip", "Unmappable", "form_at"]
