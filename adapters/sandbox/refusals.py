"""Everything that a simulated ERP can object to: one table, both dialects read their columns of it."""

from __future__ import annotations

import msgspec


class Reason(msgspec.Struct, frozen=True):
    status: int
    legacy: str  #: code in the legacy dialect
    cloud: str  #: code in the cloud dialect
    text: str  #: ``{0}`` is the particular fact


# fmt: off
REASONS = {
    #                               status legacy  cloud                   text
    "malformed_body":        Reason(400, "F001", "BadRequest",           "the body cannot be read: {0}"),
    "unknown_parameter":     Reason(400, "F002", "BadRequest",           "unknown parameter {0}"),
    "bad_parameter":         Reason(400, "F002", "BadRequest",           "{0}"),
    "bad_filter":            Reason(400, "F002", "BadFilter",            "the filter cannot be read: {0}"),
    "unknown_property":      Reason(400, "F003", "UnknownProperty",      "there is no property {0}"),
    "invalid_value":         Reason(400, "F011", "InvalidValue",         "{0}"),
    "malformed_value":       Reason(422, "F011", "InvalidValue",         "{0}"),
    "not_found":             Reason(404, "F404", "NotFound",             "there is no {0}"),
    "method":                Reason(405, "F405", "MethodNotAllowed",     "{0} is not possible here"),
    "duplicate_external_id": Reason(409, "F409", "DuplicateExternalId",  "external id {0} is taken"),
    "stale":                 Reason(412, "F412", "PreconditionFailed",   "the record was changed meanwhile"),
    "unconditional":         Reason(428, "F428", "PreconditionRequired", "send If-Match with the ETag"),
    "group_failed":          Reason(424, "F424", "GroupFailed",          "another part of the group failed"),
    "required":              Reason(422, "F010", "RequiredMissing",      "{0} is required"),
    "unknown_code":          Reason(422, "F012", "UnknownCode",          "code {0} is not in the list"),
    "unknown_tax_code":      Reason(422, "F013", "UnknownTaxCode",       "tax code {0} is not set up"),
    "unknown_legal_entity":  Reason(422, "F014", "UnknownLegalEntity",   "company code {0} is not set up"),
    "unknown_reference":     Reason(422, "F020", "UnknownReference",     "{0} does not exist"),
    "customer_blocked":      Reason(422, "F110", "CustomerBlocked",      "customer {0} is blocked"),
    "project_closed":        Reason(422, "F120", "ProjectClosed",        "project {0} is closed"),
    "posted":                Reason(422, "F130", "DocumentPosted",       "{0} is posted and locked"),
    "totals":                Reason(422, "F140", "TotalsDoNotAddUp",     "{0}"),
    "over_allocated":        Reason(422, "F150", "OverAllocated",        "{0} is above the payment"),
}
# fmt: on


class Refused(Exception):
    """The simulated ERP objects; nothing was changed."""

    def __init__(self, reason: str, fact: str = "", field: str | None = None) -> None:
        super().__init__(reason, fact, field)
        self.reason = REASONS[reason]
        self.text = self.reason.text.format(fact)
        self.field = field  #: native name, with list positions where it is inside one
