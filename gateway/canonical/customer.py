"""A customer: who is worked for and billed."""

from __future__ import annotations

from msgspec import Struct

from gateway.canonical.entity import define
from gateway.canonical.lifecycle import Lifecycle
from gateway.canonical.money import Currency, Money
from gateway.canonical.policy import ComparePolicy, exact, money, nested, number, reference, text
from gateway.canonical.values import Code, Country, CustomerId, Days, Email, Language, Line, Name, Short


class Address(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A postal address."""

    line1: Line | None = None
    line2: Line | None = None
    city: Line | None = None
    state: Short | None = None
    postal_code: Short | None = None
    country: Country | None = None


class CustomerFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The own fields of a customer."""

    name: Name
    number: Code | None = None
    legal_name: Line | None = None
    tax_id: Short | None = None
    registration_number: Short | None = None
    email: Email | None = None
    phone: Short | None = None
    website: Line | None = None
    billing_address: Address | None = None
    currency: Currency | None = None
    payment_terms_days: Days | None = None
    credit_limit: Money | None = None
    parent_id: CustomerId | None = None
    language: Language | None = None


# fmt: off
MOVES = {
    # from       to
    "prospect": ("active",),
    "active":   ("blocked", "archived"),
    "blocked":  ("active", "archived"),
    "archived": (),
}
# fmt: on

CUSTOMER = define(
    name="customer",
    collection="customers",
    prefix="cus_",
    label="Customer",
    fields=CustomerFields,
    natural_key="number",
    match_key="number",
    references={"parent_id": "customer"},
    lane_mode="latest",
    filters=("number", "parent_id"),
    lifecycle=Lifecycle(initial="prospect", moves=MOVES),
    policy=ComparePolicy(
        rules={
            "name": text(),
            "number": number(),
            "legal_name": text(),
            "tax_id": text(),
            "registration_number": text(),
            "email": text(fold_case=True, personal=True),
            "phone": text(personal=True),
            "website": text(fold_case=True),
            "billing_address": nested(),
            "billing_address.line1": text(),
            "billing_address.line2": text(),
            "billing_address.city": text(),
            "billing_address.state": text(),
            "billing_address.postal_code": text(),
            "billing_address.country": exact(),
            "currency": exact(),
            "payment_terms_days": exact(),
            "credit_limit": money(),
            "parent_id": reference("customer"),
            "language": text(fold_case=True),
            "state": exact(),
            "legal_entity": exact(),
        }
    ),
)
