"""Small profiles that the unit tests of this room share: one per protocol, an invoice and a customer each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.build import open_adapter
from adapters.contract import Adapter, Write
from adapters.profile import Profile, parse

HEAD = """
product = "example"
version = "1"
source = "made up for a test, 2026-11"
grade = "simulated"
"""

ODATA = (
    'protocol = "odata"'
    + HEAD
    + """
[options]
upsert = true
namespace = "Billing"
[entities.invoice]
resource = "Invoices"
key = "InvoiceNo"
version = "@odata.etag"
modified = "ModifiedAt"
marker = { path = "LastOperation", max_length = 40 }
external_id = "ExternalId"
capabilities = ["fetch", "search", "create", "update", "transition", "find"]
idempotency = "B"
conditional = true
filters = ["customer_id", "state", "issue_date"]
[entities.invoice.fields]
number = { path = "InvoiceNo", assigned = true, writable = false }
customer_id = { path = "CustomerNo", ref = "customer" }
currency = "Currency"
issue_date = { path = "IssueDate", convert = "date_iso" }
state = { path = "Status", values = { Draft = "draft", Ready = "ready", Posted = "posted" } }
total = { amount = "Total", currency = "/Currency", convert = "decimal_number" }
note = { path = "Note", max_length = 10 }
[entities.invoice.fields.lines]
path = "Lines"
[entities.invoice.fields.lines.each]
number = { path = "LineNo", convert = "integer" }
quantity = { path = "Quantity", convert = "decimal_number", scale = 2 }
amount = { amount = "Amount", currency = "/Currency", convert = "decimal_number" }
tax_code = "TaxCode"
[entities.invoice.transitions]
posted = "Post"
"""
)

REST_XML = (
    'protocol = "rest"'
    + HEAD
    + """
[options]
format = "xml"
offset_parameter = "ab"
limit_parameter = "anzahl"
total = "@Gesamt"
updated_since_parameter = "geaendert_ab"
error_code = ["Code"]
error_message = ["Text"]
error_field = ["Feld"]
transient_codes = ["F900"]
[entities.invoice]
resource = "Rechnungen"
element = "Rechnung"
key = "BelegNr"
modified = "Aenderung"
modified_convert = "instant_dmy_dots"
marker = { path = "Referenz", max_length = 40 }
capabilities = ["fetch", "search", "create", "update", "transition", "find"]
idempotency = "D"
filters = { customer_id = "kunde", state = "Status" }
[entities.invoice.fields]
customer_id = { path = "Kunde", ref = "customer" }
currency = "Waehrung"
issue_date = { path = "Datum", convert = "date_dmy_dots" }
state = { path = "Status", values = { E = "draft", B = "posted" } }
total = { amount = "Brutto", currency = "/Waehrung", convert = "decimal_comma" }
note = { path = "Text", max_length = 10 }
[entities.invoice.fields.lines]
path = "Positionen.Position"
[entities.invoice.fields.lines.each]
number = { path = "PosNr", convert = "integer_text" }
amount = { amount = "Betrag", currency = "/Waehrung", convert = "decimal_comma" }
source_ids = { path = "Quellen.Quelle", convert = "texts" }
"""
)

REST_JSON = (
    'protocol = "rest"'
    + HEAD
    + """
[options]
items = "data.items"
paging = "page"
offset_parameter = "page"
limit_parameter = "per_page"
error_code = ["code"]
error_message = ["message", "detail"]
error_field = ["field"]
unavailable_is_definite = true
idempotency_header = "Idempotency-Key"
[entities.customer]
resource = "customers"
key = "id"
key_convert = "int_text"
version = "etag"
modified = "updated"
capabilities = ["fetch", "search", "create", "update"]
idempotency = "A"
conditional = true
[entities.customer.fields]
name = "name"
number = "code"
"billing_address.city" = "address.city"
"billing_address.country" = "address.country"
"""
)

JSONRPC = (
    'protocol = "jsonrpc"'
    + HEAD
    + """
[options]
path = "/{database}/"
context = { language = "en" }
lock_context = "_timestamp"
probe_method = "common.server.version"
conflict_errors = ["ConcurrencyException"]
unauthorised_errors = ["NotLogged"]
[entities.customer]
resource = "party.party"
key = "id"
key_convert = "int_text"
version = "_timestamp"
modified = "write_date"
modified_convert = "tagged_instant"
created = "create_date"
marker = { path = "comment", max_length = 40, style = "suffix" }
client_key = "number"
capabilities = ["fetch", "search", "create", "update", "transition", "find"]
idempotency = "C"
conditional = true
where = { active = [true, false] }
filters = ["number"]
[entities.customer.fields]
name = "name"
number = "code"
note = "comment"
credit_limit = { amount = "limit", fixed_currency = "EUR", convert = "tagged_decimal" }
state = { path = "state", values = { draft = "prospect", done = "active" } }
[entities.customer.fields.billing_address]
path = "addresses"
[entities.customer.fields.billing_address.first]
line1 = "street"
city = "city"
[entities.customer.transitions]
active = "approve"
"""
)

PROFILES = {"odata": ODATA, "rest_xml": REST_XML, "rest_json": REST_JSON, "jsonrpc": JSONRPC}
BASE = "http://erp.test"


def profile(name: str) -> Profile:
    return parse(PROFILES[name], file=f"{name}.toml")


def system(
    name: str, auth: Mapping[str, Any] | None = None, options: Mapping[str, Any] | None = None
) -> Adapter:
    """Over httpx's own transport, which pytest-httpx intercepts."""
    given = options or {"database": "erp"}
    return open_adapter("legacy", profile(name), BASE, auth, given, transport="httpcore")


def eur(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


def write(entity: str, fields: dict[str, Any], **more: Any) -> Write:
    return Write(
        entity=entity, marker="op_0192f0aa", external_id=f"{entity[:3]}_0192f0bb", fields=fields, **more
    )
