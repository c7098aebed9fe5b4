"""The profile language: one product in one TOML file, with names, paths, numbers and choices from lists.

A profile has no expressions, no conditions, and no templates beyond ``{external_id}``. Where a fact needs an
``if``, it is a named converter (``converters.CONVERTERS``) or a protocol option (``options``), chosen by
name. Unknown keys are refused with their path and the file. A whole one, with every kind of key::

    protocol = "rest"                      # rest | odata | jsonrpc
    product  = "example_finance"
    version  = "2019"
    source   = "https://vendor.example/api, read 2026-11"   # where these names were read, and when
    grade    = "simulated"                 # simulated | recorded | live: the best evidence there is

    [limits]                               # see Limits; numbers carry their unit in the name
    timeout_s = 20.0
    [options]                              # typed by protocol, see options.py
    format = "xml"

    [values.states]                        # native code -> canonical value; shared by name
    D = "draft"
    A = ["approved", "active"]             # several canonical values fold into A; it reads back as the first
    #  Two native codes with one canonical value: the first one listed is written.

    [entities.project]
    resource = "projekte"                  # path, entity set or model
    element  = "Projekt"                   # XML: name of a record's element
    key      = "Nummer"                    # native path of the native id; dots descend, "@x" is an attribute
    version  = "etag"                      # native path of the version, or "etag" for the ETag header
    modified = "GeaendertAm"               # native path of the last change
    modified_convert = "instant_iso"       # how that is written
    marker   = { path = "Referenz", max_length = 64, filter = "referenz" }
    external_id  = { path = "FremdId", filter = "fremdid" }
    capabilities = ["fetch", "search", "create", "update", "transition", "find"]
    idempotency  = "D"                     # A to E, see contract.Idempotency
    max_processing_s = 600
    filters  = { state = "status", customer_id = "kunde" }  # canonical field -> parameter or native path;
                                           # or a list of canonical fields that are filtered by their own path
    constants = { Art = "P" }              # native path -> value, written with every create
    where     = { Art = "P" }              # native filter -> value, added to every search

    [entities.project.fields]              # canonical field = native path, or a table (see FieldForm)
    name        = { path = "Bezeichnung", max_length = 35 }
    number      = { path = "Nummer", assigned = true, writable = false }
    customer_id = { path = "Kunde", ref = "customer" }
    state       = { path = "Status", values = "states" }   # or the table itself: values = { D = "draft" }
    start_date  = { path = "Beginn", convert = "date_dmy_dots" }
    budget_hours  = { path = "Std", convert = "decimal_comma", scale = 2 }
    currency      = "Waehrung"
    budget_amount = { amount = "Budget", currency = "/Waehrung", convert = "decimal_comma" }
    "billing_address.city" = "Ort"         # a dotted canonical name reaches into an object
    tasks = { path = "Aufgaben.Aufgabe", each = { code = "Kz", billable = { path = "A", convert = "j_n" } } }

    # canonical target state -> named action, where a state change is a call
    [entities.project.transitions]
    active = "freigeben"                   # "": the product does not tell this state from the one before it
    #  A state that is not listed is an update of the state field; where that is not writable, it is refused.

Empty values: a native value that is missing, null or ``""`` reads as ``None`` (a list as ``[]``), unless the
field has a ``default``. A canonical field that is absent is not sent; one that is ``None`` is sent as the
product's empty value (``empty``, default null). Declared losses (``max_length``, ``scale``, folded
``values``) are applied by us before sending, and by ``expect``, so that a comparison can tell a declared loss
from a difference.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from adapters.contract import Capability, Idempotency
from adapters.converters import CONVERTERS
from adapters.errors import Misconfigured
from adapters.options import OPTIONS, ProtocolOptions

Above0 = Annotated[float, msgspec.Meta(gt=0)]
AtLeast1 = Annotated[int, msgspec.Meta(ge=1)]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What this product bears, from all processes of a gateway together."""

    requests_per_second: Above0 | None = None  #: None: as fast as ``concurrency`` lets us
    requests_per_day: AtLeast1 | None = None  #: from midnight to midnight UTC; None: no quota
    concurrency: AtLeast1 = 16  #: requests in flight, and connections kept
    timeout_s: float = 30.0  #: seconds per attempt, from the first byte sent to the last byte read
    connect_timeout_s: float = 5.0
    page_size: int = 100  #: records that we ask for in one search at most


class Marker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where our reference of a write is kept in a record."""

    path: str
    max_length: int = 64  #: a longer marker is cut to its *last* characters, where its randomness is
    filter: str | None = None  #: search parameter; default: the path
    #: suffix: at the end of a text that also carries a canonical field
    style: Literal["whole", "suffix"] = "whole"


class ExternalId(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the canonical id is kept in a record."""

    path: str
    filter: str | None = None  #: search parameter; default: the path
    max_length: int | None = None


class FieldForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one canonical field lies in a native record. A plain string is short for ``{path = "…"}``."""

    path: str | None = None  #: native path; dots descend
    convert: str = "text"  #: name in CONVERTERS; for money it converts the amount
    #: native code -> canonical value(s), or a name in [values]
    values: str | dict[str, str | list[str]] | None = None
    ref: str | None = None  #: the value is the native id of a record of this entity
    max_length: int | None = None  #: longer text is cut by us
    scale: int | None = None  #: decimals kept; more are rounded half up by us
    writable: bool = True  #: false: never sent
    on_update: bool = True  #: false: sent on create only
    readable: bool = True  #: false: never read back, and not part of ``expect``
    assigned: bool = False  #: the product numbers it itself when we send none
    constant: Any = None  #: the canonical value that every record of this product has; nothing is sent
    default: Any = None  #: the canonical value that stands for an empty native one, in both directions
    empty: Any = None  #: what is sent for ``None``
    only: str | None = None  #: the one value (of money: the amount) that can be kept; others are refused
    prefix: str = ""  #: text that stands before the value in the native form, such as ``project.work,``
    also: list[str] = []  #: native paths that take the same value (``lines[].x``: in each row); never read
    each: dict[str, str | FieldForm] | None = None  #: ``path`` is a list of objects with these fields
    #: ``path`` is a list whose first object is this canonical object
    first: dict[str, str | FieldForm] | None = None
    amount: str | None = None  #: money: native path of the amount
    #: money: native path of its currency; "/X" is the record's own X, which is only read
    currency: str | None = None
    fixed_currency: str | None = None  #: money: the product has one currency here; another one is refused


class EntityProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One canonical entity in this product."""

    resource: str
    key: str
    capabilities: frozenset[Capability]
    fields: dict[str, str | FieldForm]
    element: str | None = None
    key_convert: str = "text"
    version: str | None = None
    modified: str | None = None
    modified_convert: str = "instant_iso"
    created: str | None = None  #: where ``modified`` is empty until the first change: the time of creation
    marker: Marker | None = None
    external_id: ExternalId | str | None = None
    client_key: str | None = None  #: class C: the canonical field that the product keeps unique
    idempotency: Idempotency = Idempotency.E_NOTHING
    conditional: bool = False
    #: seconds; None: not looked up, and taken as the contract's 600
    max_processing_s: float | None = None
    read_lag_s: float = 0.0
    search_lag_s: float = 0.0
    filters: list[str] | dict[str, str] = []
    constants: dict[str, Any] = {}
    #: native paths of constants that only the settings can give; see installation.py
    installed: list[str] = []
    where: dict[str, Any] = {}
    order: str | None = None  #: protocol's own spelling of a stable order, such as ``Nummer asc``
    transitions: dict[str, str] = {}

    def forms(self) -> Iterator[tuple[str, FieldForm]]:
        for name, form in self.fields.items():
            yield name, as_form(form)

    def form(self, name: str) -> FieldForm | None:
        found = self.fields.get(name)
        return None if found is None else as_form(found)

    @property
    def filter_names(self) -> dict[str, str]:
        """Canonical field -> native parameter or path to search by."""
        if isinstance(self.filters, dict):
            return self.filters
        return {name: (form.path or name) if (form := self.form(name)) else name for name in self.filters}

    @property
    def external(self) -> ExternalId | None:
        return ExternalId(path=self.external_id) if isinstance(self.external_id, str) else self.external_id


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One product, as its file says."""

    protocol: Literal["rest", "odata", "jsonrpc"]
    product: str
    version: str
    source: str
    grade: Literal["simulated", "recorded", "live"]
    entities: dict[str, EntityProfile]
    limits: Limits = Limits()
    options: ProtocolOptions
    values: dict[str, dict[str, str | list[str]]] = {}
    file: str = ""  #: where it was read; not a key of the file


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file as it stands; options are typed in a second step, since the protocol decides their type."""

    protocol: Literal["rest", "odata", "jsonrpc"]
    product: str
    version: str
    source: str
    grade: Literal["simulated", "recorded", "live"]
    entities: dict[str, EntityProfile]
    limits: Limits = Limits()
    options: dict[str, Any] = {}
    values: dict[str, dict[str, str | list[str]]] = {}


def as_form(form: str | FieldForm) -> FieldForm:
    return FieldForm(path=form) if isinstance(form, str) else form


def names() -> tuple[str, ...]:
    """Every profile that ships with the program."""
    folder = files("adapters").joinpath("profiles")
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load(name_or_path: str | Path) -> Profile:
    """Read a shipped profile by name, or any profile by its path (something that ends in ``.toml``). A shipped one is
    shared by all who ask for it, so nobody changes it."""
    text = str(name_or_path)
    if text.endswith(".toml"):
        path = Path(text)
        if not path.is_file():
            raise Misconfigured(f"there is no profile file {text}")
        return parse(path.read_text("utf-8"), file=text)
    return _shipped(text)


@cache
def _shipped(name: str) -> Profile:
    # What ships with the program does not change while it runs, and several rooms want it at the start.
    entry = files("adapters").joinpath("profiles", f"{name}.toml")
    if not entry.is_file():
        raise Misconfigured(f"there is no profile {name!r}; there are: {', '.join(names())}")
    return parse(entry.read_text("utf-8"), file=f"adapters/profiles/{name}.toml")


def parse(text: str, *, file: str) -> Profile:
    try:
        raw: Mapping[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"{file}: {error}") from error
    try:
        read = msgspec.convert(raw, _File)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"{file}: {error}") from error
    try:
        options = msgspec.convert(read.options, OPTIONS[read.protocol])
    except msgspec.ValidationError as error:
        raise Misconfigured(f"{file}: {str(error).replace('`$', '`$.options')} (in [options])") from error
    profile = Profile(
        protocol=read.protocol,
        product=read.product,
        version=read.version,
        source=read.source,
        grade=read.grade,
        entities=read.entities,
        limits=read.limits,
        options=options,
        values=read.values,
        file=file,
    )
    for path, fault in faults(profile):
        raise Misconfigured(f"{file}: {fault} at `$.{path}`")
    return profile


def faults(profile: Profile) -> Iterator[tuple[str, str]]:
    """What the types cannot say: names that must exist, keys that belong together."""
    for entity, spec in profile.entities.items():
        at = f"entities.{entity}"
        for state in spec.transitions:
            if spec.form("state") is None:
                yield f"{at}.transitions.{state}", "there are transitions, but no `state` among the fields"
        for name in spec.filter_names:
            if spec.form(name) is None:
                yield f"{at}.filters", f"filter {name!r} is not among the fields"
        if spec.client_key and spec.form(spec.client_key) is None:
            yield f"{at}.client_key", f"client_key {spec.client_key!r} is not among the fields"
        if spec.idempotency is Idempotency.B_EXTERNAL_ID and spec.external is None:
            yield f"{at}.idempotency", "class B needs external_id"
        if spec.idempotency is Idempotency.C_UNIQUE_KEY and spec.client_key is None:
            yield f"{at}.idempotency", "class C needs client_key"
        if spec.idempotency is Idempotency.D_SEARCHABLE and (
            spec.marker is None or Capability.FIND not in spec.capabilities
        ):
            yield f"{at}.idempotency", "class D needs a marker and the capability find"
        if spec.conditional and spec.version is None:
            yield f"{at}.conditional", "a conditional update needs version"
        yield from _field_faults(profile, spec.fields, f"{at}.fields")


def _field_faults(
    profile: Profile, fields: Mapping[str, str | FieldForm], at: str
) -> Iterator[tuple[str, str]]:
    for name, raw in fields.items():
        form = as_form(raw)
        here = f"{at}.{name}"
        kinds = sum(x is not None for x in (form.path, form.amount, form.constant))
        if kinds != 1:
            yield here, "a field has exactly one of `path`, `amount` and `constant`"
        if form.amount is not None and (form.currency is None) == (form.fixed_currency is None):
            yield here, "money needs exactly one of `currency` and `fixed_currency`"
        if form.amount is None and (form.currency or form.fixed_currency):
            yield here, "`currency` goes with `amount`; a field that is a currency code is a plain path"
        if form.also and form.path is None:
            yield here, "`also` goes with `path`"
        if form.convert not in CONVERTERS:
            yield f"{here}.convert", f"no converter {form.convert!r}; there are: {', '.join(CONVERTERS)}"
        if isinstance(form.values, str) and form.values not in profile.values:
            yield f"{here}.values", f"no table [values.{form.values}]"
        for part in ("each", "first"):
            nested: Mapping[str, str | FieldForm] | None = getattr(form, part)
            if nested is not None:
                if form.path is None:
                    yield here, f"`{part}` needs the `path` of the list"
                yield from _field_faults(profile, nested, f"{here}.{part}")
