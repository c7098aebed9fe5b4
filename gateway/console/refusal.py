"""What a person reads when the gateway says no: the refusal in its own words, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway import errors
from gateway.console.guard import FormForeign
from gateway.errors import FieldError, GatewayError


class Told(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    title: str
    detail: str
    remedy: str
    errors: tuple[FieldError, ...] = ()


# fmt: off
#: Kind of refusal -> status, what to do next. The nearest class up the tree counts.
REMEDIES: Mapping[type[GatewayError], tuple[int, str]] = {
    errors.Unauthenticated:    (401, "Check that the whole key was copied, and that it was not revoked."),
    errors.Forbidden:          (403, "Sign in with a key that has the scope, or ask for one."),
    errors.RecordNotFound:     (404, "Check the id. Records outside the regions of this key are not shown."),
    errors.OperationNotFound:  (404, "Check the id. Writes outside the regions of this key are not shown."),
    errors.NotFoundHere:       (404, "It may have gone, or lies outside the regions of this key."),
    errors.RouteNotFound:      (404, "Check the address."),
    errors.UnknownRegion:      (404, "Take a slice from the routing matrix."),
    errors.RuleVersionMoved:   (409, "Below is the slice as it is now. What you typed is kept."),
    errors.DecisionStale:      (409, "Below is the case as it is now. What you typed is kept."),
    errors.SecondPersonNeeded: (403, "Ask somebody else who may approve to look at it."),
    errors.RepairStale:        (409, "Below is how it stands now. Plan it anew where it has ended."),
    errors.RepairRunning:      (409, "See that one through, or cancel it first."),
    errors.BackfillStale:      (409, "Below is how it stands now. What you typed is kept."),
    errors.EvidenceChanged:    (409, "Below is the evidence as it is now. Look at it again, then decide."),
    errors.SwitchOver:         (409, "Below is how it stands now."),
    errors.RuleRefused:        (422, "Clear what stands against it, or override it and say why."),
    errors.Malformed:          (400, "Correct it and send it again."),
    errors.Invalid:            (422, "Correct it and send it again."),
    FormForeign:               (403, "Load the page again and repeat."),
    errors.SystemUnavailable:  (503, "The ERP does not answer. Nothing was changed; try again when it does."),
    errors.StoreUnavailable:   (503, "The gateway's database does not answer. Nothing was changed."),
    GatewayError:              (500, "If it stays, look at the gateway's log."),
}
# fmt: on


def told(error: GatewayError) -> Told:
    status, remedy = next(REMEDIES[kind] for kind in type(error).__mro__ if kind in REMEDIES)
    return Told(status=status, title=error.title(), detail=error.detail, remedy=remedy, errors=error.errors)
