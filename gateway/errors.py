"""The tree of what the gateway can refuse, for any rim to render; no HTTP here.

A class is a kind of refusal; its docstring is the message that a person reads and says what to do next.
``detail`` adds the particular facts, ``errors`` point at fields, ``facts`` are machine-readable extras
(``legal``, ``location``, ``retry_after_s`` …). The table in ``http/problems.py`` gives each class its status.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """One wrong place in a request. ``pointer`` is a JSON Pointer (RFC 6901) into the body, or the name of a
    query parameter or header."""

    pointer: str
    code: str
    message: str


class GatewayError(Exception):
    """The gateway refused the request."""

    retryable = False

    def __init__(self, detail: str = "", *, errors: Sequence[FieldError] = (), **facts: Any) -> None:
        super().__init__(detail or self.title())
        self.detail = detail
        self.errors = tuple(errors)
        self.facts = facts

    @classmethod
    def title(cls) -> str:
        """The constant message of this kind: the first line of its docstring, without the final stop."""
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0].rstrip(".")


# --- the request itself -------------------------------------------------------------------------------------


class Malformed(GatewayError):
    """The request does not have the form that the contract asks for."""


class UnknownRegion(Malformed):
    """No routing rule knows this region."""


class ForeignCursor(Malformed):
    """This cursor was not issued by this service for this list."""


class KeyMissing(Malformed):
    """This call needs an Idempotency-Key header."""


class Unauthenticated(GatewayError):
    """A valid API key is needed."""


class SignatureWrong(GatewayError):
    """The signature of this webhook does not hold."""


class Forbidden(GatewayError):
    """The API key does not carry the scope that this call needs."""


class RecordNotFound(GatewayError):
    """There is no such record, or it is outside the caller's regions."""


class RouteNotFound(GatewayError):
    """There is nothing at this address."""


class MethodNotAllowed(GatewayError):
    """This address does not take this method."""


class OperationNotFound(GatewayError):
    """There is no such operation, or it is outside the caller's regions."""


class NotFoundHere(GatewayError):
    """There is no such thing here."""


class BodyTooLarge(GatewayError):
    """The request body is larger than the limit."""


class MediaTypeUnsupported(GatewayError):
    """The body must be JSON."""


class NotAcceptable(GatewayError):
    """Nothing of what the Accept header names can be given here."""


class TooManyRequests(GatewayError):
    """The quota of this API key is used up for now."""

    retryable = True


# --- a write against what is already there -------------------------------------------------------------------


class TwinRunning(GatewayError):
    """A request with the same Idempotency-Key is still running."""

    retryable = True


class KeyReused(GatewayError):
    """This Idempotency-Key was used with another request."""


class NaturalKeyTaken(GatewayError):
    """Another record already has this key."""


class RecordMerged(GatewayError):
    """This record was merged into another one, which is to be used instead."""


class IllegalTransition(GatewayError):
    """The record cannot go to this state from where it is."""


class PendingWrite(GatewayError):
    """An earlier write to this record is not confirmed yet, so a conditional write cannot be judged."""

    retryable = True


class CannotCancel(GatewayError):
    """The operation was already sent or has ended; it cannot be cancelled."""


class ReconciliationRunning(GatewayError):
    """A reconciliation of this slice is under way already."""


class BackfillRunning(GatewayError):
    """A backfill of this slice is under way, or paused, already."""


class BackfillStale(GatewayError):
    """The backfill is in no state in which that can be done to it."""


class RepairRunning(GatewayError):
    """A repair of this slice is asked for, or under way, already."""


class RepairStale(GatewayError):
    """The repair is in no state in which that can be done to it."""


class CannotReplay(GatewayError):
    """The delivery does not wait for a person, so there is nothing to send again."""


class DecisionStale(GatewayError):
    """This decision does not fit the case as it is now."""


class VersionStale(GatewayError):
    """The record has moved on since the version in If-Match."""


class VersionMissing(GatewayError):
    """This call needs an If-Match header with the version that the change is based on."""


# --- what the business rules say -----------------------------------------------------------------------------


class Invalid(GatewayError):
    """The values do not fit together."""


class ReferenceUnknown(Invalid):
    """The request refers to a record that does not exist."""


class DependencyRefused(GatewayError):
    """A record that this one refers to was itself refused."""


class Refused(GatewayError):
    """The ERP refused the write on its own rules."""


class Collision(GatewayError):
    """The ERP answered with a record that already belongs to another canonical id."""


# --- now is not the time -------------------------------------------------------------------------------------


class NotAccepted(GatewayError):
    """The write was not accepted and nothing was kept; send it again later."""

    retryable = True


class SystemUnavailable(GatewayError):
    """The ERP that answers for this slice cannot be reached."""

    retryable = True


class SystemUnreadable(GatewayError):
    """The ERP answered with something that its profile cannot read."""

    retryable = True


class NotConfigured(GatewayError):
    """No system is configured for what this request needs."""


class StoreUnavailable(GatewayError):
    """The gateway's own database cannot be reached; nothing was kept."""

    retryable = True


# --- the operations side -------------------------------------------------------------------------------------


class RuleVersionMoved(GatewayError):
    """The rule was changed by somebody else since it was read."""


class RuleRefused(GatewayError):
    """A gate or a dependency forbids this change of stage."""


class SecondPersonNeeded(GatewayError):
    """Another person has to decide this."""


class EvidenceChanged(GatewayError):
    """The evidence is not what it was; look at it again before you approve."""


class SwitchOver(GatewayError):
    """This switch is past the point at which that can be done."""


class MergeOver(GatewayError):
    """This merge is past the point at which that can be done."""


class MergeRefused(GatewayError):
    """These two records cannot be merged, or not be parted, as they are now."""


class ScheduleOver(GatewayError):
    """This scheduled change is past the point at which that can be done."""


class SettingWrong(GatewayError):
    """A setting is wrong, and the program does not start with it."""


class RuleFileWrong(SettingWrong):
    """A routing rule file is wrong, and the program does not start with it."""


#: Every class by its name, so that a stored refusal can be told again in the same words.
def by_name(name: str) -> type[GatewayError]:
    """The error class called ``name``. Raises KeyError for a name that is not in this file."""
    found = globals()[name]
    if not (isinstance(found, type) and issubclass(found, GatewayError)):
        raise KeyError(name)
    return found
