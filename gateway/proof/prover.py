"""Proves what one product makes of one entity: every field, by trying the values that tell most.

A value counts as lost only after it was seen to be lost on the real mapping, bytes and all; a limit that the profile
sets and no value was found for is *suspected*. A field is *exact* only if no value was lost and nothing is suspected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from adapters.contract import Capability
from adapters.domain import Kind, probes
from adapters.profile import FieldForm, Profile, as_form
from adapters.record import Unmappable
from adapters.round_trip import RoundTrip, form_at
from gateway.canonical import Entity
from gateway.canonical.codes import MINOR_UNITS
from gateway.canonical.policy import Compare, Rule
from gateway.compare.tolerance import TELL, money_of, number_of
from gateway.proof.domains import CURRENCY, document, domains, value_at, without
from gateway.proof.verdict import LOSSES, EntityProof, FieldProof, Finding, Loss, Outcome

#: The one field that a record never changes: whose books it is in.
SETTLED = frozenset({"legal_entity"})


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a value: another one, or why the product cannot hold it."""

    value: Any = None
    refused: str | None = None


class Prover:
    """One entity in one product. Holds nothing but what it was made of."""

    def __init__(self, entity: Entity, profile: Profile) -> None:
        self.entity = entity
        self.profile = profile
        self.domains = domains(entity)
        self._spec = profile.entities.get(entity.name)
        self._trip = RoundTrip(profile, entity.name) if self._spec is not None else None
        self._images: dict[tuple[str, bytes], Image] = {}
        self.currency = next(iter(self._fixed()), CURRENCY)
        self.written = self._spec is not None and Capability.CREATE in self._spec.capabilities

    def prove(self) -> EntityProof:
        """Every field of the entity."""
        return self.summed([self.field(path) for path in self.domains])

    def summed(self, fields: Sequence[FieldProof]) -> EntityProof:
        """The entity, once its fields are proved."""
        return EntityProof(
            entity=self.entity.name,
            product=f"{self.profile.product} {self.profile.version}",
            written=self.written,
            fields=tuple(fields),
            required_unmapped=tuple(self._required_unmapped()),
        )

    def field(self, path: str) -> FieldProof:
        """One field: static facts of the profile, and every probe tried."""
        forms = self.forms(path)
        rule = self.rule(path)
        significant = is_significant(rule)
        if not forms:
            gone = (self._finding(path, Loss.NOT_MAPPED),)
            return FieldProof(
                path=path,
                significant=significant,
                outcome=Outcome.LOST,
                total=False,
                injective=False,
                findings=gone,
            )
        findings = [*self._static(path, forms), *self._tried(path, forms)]
        findings += self._suspected(path, forms[-1], findings)
        number = any(one.loss is Loss.OWN_NUMBER for one in findings)
        loses = any(LOSSES[one.loss].loses for one in findings)
        outcome = Outcome.LOST if loses else Outcome.UNPROVEN if findings and not number else Outcome.EXACT
        return FieldProof(
            path=path,
            significant=significant and not number,
            outcome=outcome,
            total=all(LOSSES[one.loss].total for one in findings),
            injective=not any(one.twin is not None or one.loss in _FOLDS for one in findings),
            findings=tuple(findings),
        )

    def probes(self, path: str) -> list[Any]:
        """The values to try, the ordinary first, and nothing where the field may be absent."""
        forms = self.forms(path)
        domain = self.domains[path]
        form = forms[-1] if forms else None
        if form is not None and isinstance(form.values, str):
            form = msgspec.structs.replace(form, values=self.profile.values[form.values])
        found = probes(domain, form, currency=self.currency)
        return found if domain.required else [*found, None]

    def forms(self, path: str) -> tuple[FieldForm, ...]:
        return () if self._spec is None else form_at(self._spec, path)

    def rule(self, path: str) -> Rule | None:
        return self.entity.policy.rule(path)

    def same(self, path: str, one: Any, other: Any) -> bool:
        """Whether two values of the field agree, as the compare policy has it."""
        rule = self.rule(path)
        if _blank(rule, one) or _blank(rule, other):
            return _blank(rule, one) and _blank(rule, other)
        tell = TELL.get(rule.compare) if rule is not None else None
        return one == other if tell is None or rule is None else tell(one, other, rule) is None

    def image(self, path: str, value: Any) -> Image:
        """What the product makes of one value."""
        key = path, msgspec.json.encode(value)
        known = self._images.get(key)
        if known is None:
            known = self._images[key] = self._image(path, value)
        return known

    def _image(self, path: str, value: Any) -> Image:
        trip = self._trip
        assert trip is not None
        currency = self._currency(path, value)
        fields = document(self.entity, self.domains, path, value, currency=currency)
        sent = self._is_sent(path)
        while True:
            try:
                read = trip.there_and_back(fields) if sent else trip.foretold(fields, written=self.written)
            except Unmappable as refused:
                # What stands beside the value may be what the product cannot hold; then it goes without it.
                fewer = without(fields, refused.path, path)
                if fewer is None:
                    return Image(refused=refused.reason)
                fields = fewer
                continue
            head = path.partition("[]")[0].partition(".")[0]
            if not sent and head not in read:
                return Image(refused="cannot be held")
            return Image(value=value_at(read, path))

    # --- what the profile says --------------------------------------------------------------------------------

    def _static(self, path: str, forms: Sequence[FieldForm]) -> Iterator[Finding]:
        spec = self._spec
        assert spec is not None
        if not all(form.readable for form in forms):
            yield self._finding(path, Loss.NOT_READ)
        if forms[-1].constant is not None:
            return
        acted = path == "state" and spec.transitions
        if not all(form.writable for form in forms) and not acted:
            own = any(form.assigned for form in forms)
            yield self._finding(path, Loss.OWN_NUMBER if own else Loss.READ_ONLY)
        elif not self.written:
            yield self._finding(path, Loss.READ_ONLY)
        elif not all(form.on_update for form in forms) and path not in SETTLED:
            yield self._finding(path, Loss.SET_ONCE)
        if acted and not forms[-1].writable:
            reached = {self.entity.lifecycle.initial, *spec.transitions}
            for state in self.entity.lifecycle.states:
                if state not in reached:
                    yield self._finding(path, Loss.UNREACHABLE, example=state)

    def _suspected(self, path: str, form: FieldForm, found: Sequence[Finding]) -> Iterator[Finding]:
        domain = self.domains[path]
        seen = {one.loss for one in found}
        lengths = (
            domain.kind in (Kind.TEXT, Kind.TEXTS) and form.values is None and form.max_length is not None
        )
        if (
            lengths
            and (form.max_length or 0) < domain.max_length
            and not seen & {Loss.SHORTENED, Loss.REFUSED}
        ):
            yield self._finding(path, Loss.SUSPECTED)
        most = {Kind.NUMBER: domain.decimals, Kind.MONEY: max(domain.currencies.values(), default=0)}
        scaled = form.scale is not None and form.scale < most.get(domain.kind, 0)
        if scaled and not seen & {Loss.ROUNDED, Loss.REFUSED}:
            yield self._finding(path, Loss.SUSPECTED)

    # --- what trying shows ------------------------------------------------------------------------------------

    def _tried(self, path: str, forms: Sequence[FieldForm]) -> Iterator[Finding]:
        if not all(form.readable for form in forms):
            return
        tried = [(value, self.image(path, value)) for value in self.probes(path)]
        found: dict[Loss, Finding] = {}
        merged: list[Finding] = []
        for value, image in tried:
            if image.refused is None and self.same(path, value, image.value):
                continue
            if len(merged) == MOST_CODES:
                break
            one = self.finding(path, value, image, twin=self._twin(path, value, image, tried))
            loss = one.loss
            if loss is Loss.MERGED or (loss is Loss.REFUSED and self.domains[path].kind is Kind.CODE):
                merged.append(one)
            else:
                kept = found.get(loss)
                if kept is None or (kept.twin is None and one.twin is not None):
                    found[loss] = one
        yield from found.values()
        # A closed list is named whole where it is short; of many codes the first few say it.
        yield from merged

    def finding(self, path: str, value: Any, image: Image, *, twin: Any = None) -> Finding:
        """What was lost where ``value`` became ``image``."""
        form = self.forms(path)[-1]
        if image.refused is not None:
            loss = Loss.REFUSED
        elif form.constant is not None:
            loss = Loss.CONSTANT
        else:
            loss = self._class(path, value, image.value)
        return self._finding(
            path, loss, example=value, becomes=image.value, twin=twin, reason=image.refused, form=form
        )

    def _twin(self, path: str, value: Any, image: Image, tried: Sequence[tuple[Any, Image]]) -> Any:
        if image.refused is not None:
            return None
        for other, also in tried:
            if (
                also.refused is None
                and other is not None
                and not self.same(path, other, value)
                and self.same(path, also.value, image.value)
            ):
                return other
        return None

    def _class(self, path: str, value: Any, read: Any) -> Loss:
        kind, rule = self.domains[path].kind, self.rule(path)
        if _blank(rule, value):
            return Loss.ASSUMED
        if _blank(rule, read):
            return Loss.EMPTIED
        if kind in (Kind.NUMBER, Kind.MONEY):
            left, right = _number(value), _number(read)
            stakes = money_of(value), money_of(read)
            moved = (
                stakes[0] is not None and stakes[1] is not None and stakes[0].currency != stakes[1].currency
            )
            near = left is not None and right is not None and abs(left - right) < 1
            return Loss.ROUNDED if near and not moved else Loss.CHANGED
        if kind is Kind.CODE:
            return Loss.MERGED
        short = isinstance(value, str) and isinstance(read, str) and len(read) < len(value)
        return Loss.SHORTENED if short and value.startswith(read) else Loss.CHANGED

    def _finding(
        self,
        path: str,
        loss: Loss,
        *,
        example: Any = None,
        becomes: Any = None,
        twin: Any = None,
        reason: str | None = None,
        form: FieldForm | None = None,
    ) -> Finding:
        words = LOSSES[loss].words
        if loss is Loss.SHORTENED and isinstance(becomes, str):
            words = f"text longer than {len(becomes)} characters is cut"
        elif loss is Loss.ROUNDED and form is not None and form.scale is not None:
            words = f"more than {form.scale} decimals are rounded"
        elif reason is not None:
            words = f"{words} ({reason})"
        return Finding(
            path=path,
            loss=loss,
            words=words,
            example=example,
            becomes=becomes,
            twin=twin,
            changes_money=self.domains[path].kind is Kind.MONEY and loss in _CHANGES,
        )

    # --- the record around a value ----------------------------------------------------------------------------

    def _is_sent(self, path: str) -> bool:
        return self.written and all(form.writable for form in self.forms(path))

    def _currency(self, path: str, value: Any) -> str:
        domain = self.domains[path]
        if domain.kind is Kind.MONEY and value is not None and not domain.free_currency:
            return value["currency"]
        return str(value) if path == "currency" and value in MINOR_UNITS else self.currency

    def _fixed(self) -> Iterator[str]:
        for form in () if self._spec is None else (form for _, form in self._spec.forms()):
            for one in (form, *(as_form(inner) for inner in (form.each or form.first or {}).values())):
                if one.fixed_currency is not None:
                    yield one.fixed_currency

    def _required_unmapped(self) -> Iterator[str]:
        required = {
            field.encode_name for field in msgspec.structs.fields(self.entity.fields) if field.required
        }
        for head in sorted(required):
            paths = [path for path in self.domains if path.partition("[]")[0].partition(".")[0] == head]
            if not any(self.forms(path) for path in paths):
                yield head


def is_significant(rule: Rule | None) -> bool:
    """Whether the compare policy looks at the field at all."""
    return rule is not None and rule.compare is not Compare.IGNORED


#: Codes of one field that are named one by one.
MOST_CODES = 12
_FOLDS = frozenset({Loss.NOT_MAPPED, Loss.CONSTANT, Loss.MERGED, Loss.READ_ONLY, Loss.OWN_NUMBER})
_CHANGES = frozenset({Loss.ROUNDED, Loss.CHANGED, Loss.CONSTANT, Loss.ASSUMED, Loss.EMPTIED})


def _number(value: Any) -> Decimal | None:
    stake = money_of(value)
    return number_of(value) if stake is None else stake.amount


def _blank(rule: Rule | None, value: Any) -> bool:
    if isinstance(value, str):
        return rule is not None and rule.blank_is_absent and not value.strip()
    return value is None or value == [] or value == {}
