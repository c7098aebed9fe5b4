"""The kinds of text, code and reference that fields are made of, each with words for its errors.

Text is Unicode in normal form C. Control characters are refused, and with them U+FFFE and U+FFFF, because XML
cannot carry them and a legacy system may speak XML. What JSON Schema can say is said here, so that the
document that describes the API and the code that checks a body cannot drift apart.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from gateway.canonical.codes import COUNTRIES

_CONTROL = r"\u0000-\u001f\u007f-\u009f\ufffe\uffff"
_CONTROL_BUT_BREAKS = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffe\uffff"

# ``\Z``, because ``$`` of this language also matches before a final line break; the schema says ``$``.
_LINE = rf"^[^{_CONTROL}]*\Z"
_NAMED = rf"^[^{_CONTROL}]*[^{_CONTROL}\u0020\u00a0][^{_CONTROL}]*\Z"
_BREAKS = rf"^[^{_CONTROL_BUT_BREAKS}]*\Z"

Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=_NAMED,
        description="text of 1 to 255 characters, not only blanks, without control characters",
    ),
]
Line = Annotated[
    str,
    Meta(
        max_length=255,
        pattern=_LINE,
        description="text of at most 255 characters, without control characters",
    ),
]
Short = Annotated[
    str,
    Meta(
        max_length=64, pattern=_LINE, description="text of at most 64 characters, without control characters"
    ),
]
Code = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=_NAMED,
        description="a code of 1 to 64 characters, not only blanks, without control characters",
    ),
]
Note = Annotated[
    str,
    Meta(
        max_length=4000,
        pattern=_BREAKS,
        description="text of at most 4000 characters, line breaks and tabs, no other control characters",
    ),
]
Email = Annotated[
    str,
    Meta(
        max_length=254,
        pattern=rf"^[^@{_CONTROL}\u0020\u00a0]+@[^@{_CONTROL}\u0020\u00a0]+\Z",
        description="an e-mail address such as name@example.com, at most 254 characters",
    ),
]
Language = Annotated[
    str,
    Meta(
        max_length=35,
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?(-([A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*\Z",
        description="a language tag of BCP 47 such as en, de-CH or zh-Hant-TW",
    ),
]
Day = Annotated[date, Meta(description="a business day as YYYY-MM-DD")]
Days = Annotated[int, Meta(ge=0, le=3650, description="a whole number of days from 0 to 3650")]
Flag = Annotated[bool, Meta(description="true or false")]
Ordinal = Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number from 1")]

RegionCode = Annotated[
    str,
    Meta(
        pattern=r"^[A-Z][A-Z0-9_]{0,15}\Z",
        description="the code of a region that a routing rule knows, such as UK",
    ),
]
LegalEntityCode = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}\Z", description="the code of a legal entity, such as UK01"
    ),
]
SystemName = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}\Z", description="the name of a system, such as legacy or cloud")
]
NativeId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=_NAMED,
        description="the id by which that system knows the record, 1 to 255 characters",
    ),
]
ExternalRefs = Annotated[
    dict[SystemName, NativeId], Meta(max_length=16, description="system name to that system's own id")
]
CustomFields = Annotated[dict[str, Any], Meta(description="any JSON object of at most 16 kB and 32 levels")]
StateName = Annotated[
    str, Meta(pattern=r"^[a-z][a-z_]{0,31}\Z", description="the name of a state, such as approved")
]


if TYPE_CHECKING:
    Country = str
    CustomerId = ProjectId = ResourceId = ContractId = InvoiceId = str
else:
    Country = Annotated[
        Literal[COUNTRIES], Meta(description="a country code of ISO 3166-1 alpha-2 such as DE")
    ]

    def _record_id(prefix: str, entity: str) -> Any:
        # A well-formed id of no record is for the store to judge; here only the kind of record is certain.
        return Annotated[
            str,
            Meta(pattern=rf"^{prefix}[0-9A-Za-z-]{{1,60}}\Z", description=f"the id of a {entity}, {prefix}…"),
        ]

    CustomerId = _record_id("cus_", "customer")
    ProjectId = _record_id("prj_", "project")
    ResourceId = _record_id("res_", "resource")
    ContractId = _record_id("con_", "contract")
    InvoiceId = _record_id("inv_", "invoice")
