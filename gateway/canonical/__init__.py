"""The canonical data model: what a customer, a project or an invoice *means*, whichever ERP holds it. Pure.

Words: an *entity* is one of the eight kinds; its *fields* are one Struct, and the shapes of its bodies and
answers are derived from it. A *document* is the plain wire form of one record: own fields,
``legal_entity`` and ``custom_fields``, nothing null. A *record* is the document in its envelope (id, version,
state, times, refs).

Laws:
- Money is Decimal and a currency, at that currency's full scale. A JSON number is never money.
- What JSON Schema can say about a body is in its schema, and the decoder and the schema come from one type.
- Absent, null and empty are three things. Null on a create is absent; in a patch it takes the value away.
- Text is Unicode NFC; ``custom_fields`` and ids of other systems are kept as they came.
- ``merge`` is RFC 7396, and then the whole document is checked again: no order of patches leads to a document
  that a create would have refused.
- ENTITIES stands in the order of dependency: an entity comes after everything that it refers to.

In a lifecycle written ``a ⇄ b → c`` the pair is one station: both of its states lead on to ``c``.

Refused: unknown members, repeated members, floats, exponents, mixed currencies, totals that do not add up.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.canonical.contract import CONTRACT
from gateway.canonical.customer import CUSTOMER
from gateway.canonical.decode import Draft, Transition, decode_draft, decode_patch, decode_transition
from gateway.canonical.entity import Entity, Reference
from gateway.canonical.expense import EXPENSE
from gateway.canonical.invoice import INVOICE
from gateway.canonical.lifecycle import Lifecycle
from gateway.canonical.merge import encode, merge, merge_patch, record, typed, values_at
from gateway.canonical.money import Money
from gateway.canonical.payment import PAYMENT
from gateway.canonical.policy import Compare, ComparePolicy, Rule
from gateway.canonical.project import PROJECT
from gateway.canonical.resource import RESOURCE
from gateway.canonical.schema import draft_schema, patch_schema, record_schema, schemas
from gateway.canonical.time_entry import TIME_ENTRY

#: In the order of dependency; routes, OpenAPI, command line, reports and rule files follow it.
ENTITIES: tuple[Entity, ...] = (
    CUSTOMER,
    RESOURCE,
    CONTRACT,
    PROJECT,
    TIME_ENTRY,
    EXPENSE,
    INVOICE,
    PAYMENT,
)
BY_NAME: Mapping[str, Entity] = {entity.name: entity for entity in ENTITIES}
BY_COLLECTION: Mapping[str, Entity] = {entity.collection: entity for entity in ENTITIES}

__all__ = [
    "BY_COLLECTION",
    "BY_NAME",
    "ENTITIES",
    "Compare",
    "ComparePolicy",
    "Draft",
    "Entity",
    "Lifecycle",
    "Money",
    "Reference",
    "Rule",
    "Transition",
    "decode_draft",
    "decode_patch",
    "decode_transition",
    "draft_schema",
    "encode",
    "merge",
    "merge_patch",
    "patch_schema",
    "record",
    "record_schema",
    "schemas",
    "typed",
    "values_at",
]
