"""One table: each kind of refusal, its slug and its status. Whatever goes wrong leaves as RFC 9457
problem+json.

The title is the first line of the class's docstring, so code, answer and OpenAPI use the same words. Facts
that only we may see (a cause, a stack) are logged under the request id and never sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway import errors
from gateway.errors import GatewayError
from gateway.http import addresses
from gateway.http.reply import Reply

MEDIA = b"application/problem+json"
TYPE = "urn:twinrun:problem:"

#: Seconds after which a caller may try again, where the refusal itself does not know better.
RETRY_AFTER_S = 2


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """How one kind of refusal is told."""

    slug: str
    status: int


# fmt: off
PROBLEMS: Mapping[type[GatewayError], Row] = {
    error: Row(slug=slug, status=status)
    for error, slug, status in (
        # error                        slug                      status
        (errors.Malformed,             "malformed",              400),
        (errors.UnknownRegion,         "unknown-region",         400),
        (errors.ForeignCursor,         "foreign-cursor",         400),
        (errors.KeyMissing,            "key-missing",            400),
        (errors.Unauthenticated,       "unauthenticated",        401),
        (errors.SignatureWrong,        "signature-wrong",        401),
        (errors.Forbidden,             "forbidden",              403),
        (errors.SecondPersonNeeded,    "second-person-needed",   403),
        (errors.RecordNotFound,        "record-not-found",       404),
        (errors.OperationNotFound,     "operation-not-found",    404),
        (errors.RouteNotFound,         "route-not-found",        404),
        (errors.NotFoundHere,          "not-found",              404),
        (errors.MethodNotAllowed,      "method-not-allowed",     405),
        (errors.NotAcceptable,         "not-acceptable",         406),
        (errors.TwinRunning,           "twin-running",           409),
        (errors.NaturalKeyTaken,       "natural-key-taken",      409),
        (errors.RecordMerged,          "record-merged",          409),
        (errors.IllegalTransition,     "illegal-transition",     409),
        (errors.PendingWrite,          "pending-write",          409),
        (errors.CannotCancel,          "cannot-cancel",          409),
        (errors.CannotReplay,          "cannot-replay",          409),
        (errors.ReconciliationRunning, "reconciliation-running", 409),
        (errors.BackfillRunning,       "backfill-running",       409),
        (errors.BackfillStale,         "backfill-stale",         409),
        (errors.RepairRunning,         "repair-running",         409),
        (errors.RepairStale,           "repair-stale",           409),
        (errors.DecisionStale,         "decision-stale",         409),
        (errors.Collision,             "collision",              409),
        (errors.EvidenceChanged,       "evidence-changed",       409),
        (errors.SwitchOver,            "switch-over",            409),
        (errors.ScheduleOver,          "schedule-over",          409),
        (errors.MergeOver,             "merge-over",             409),
        (errors.RuleVersionMoved,      "rule-version-moved",     409),
        (errors.VersionStale,          "version-stale",          412),
        (errors.BodyTooLarge,          "body-too-large",         413),
        (errors.MediaTypeUnsupported,  "media-type-unsupported", 415),
        (errors.Invalid,               "invalid",                422),
        (errors.ReferenceUnknown,      "reference-unknown",      422),
        (errors.KeyReused,             "key-reused",             422),
        (errors.Refused,               "refused",                422),
        (errors.RuleRefused,           "rule-refused",           422),
        (errors.MergeRefused,          "merge-refused",          422),
        (errors.DependencyRefused,     "dependency-refused",     424),
        (errors.VersionMissing,        "version-missing",        428),
        (errors.TooManyRequests,       "too-many-requests",      429),
        (GatewayError,                 "unexpected",             500),
        (errors.SettingWrong,          "setting-wrong",          500),
        (errors.RuleFileWrong,         "rule-file-wrong",        500),
        (errors.SystemUnreadable,      "system-unreadable",      502),
        (errors.NotAccepted,           "not-accepted",           503),
        (errors.SystemUnavailable,     "system-unavailable",     503),
        (errors.NotConfigured,         "not-configured",         503),
        (errors.StoreUnavailable,      "store-unavailable",      503),
    )
}
# fmt: on

#: Facts that become a header; the rest of the facts are members of the problem.
_HEADER_FACTS = frozenset({"location", "retry_after_s", "replayed", "allow", "error"})
#: Statuses for which the answer says when to come back.
_WAIT = frozenset({429, 503})


def row(error: type[GatewayError]) -> Row:
    """The row of ``error``, or of the nearest class above it."""
    for kind in error.__mro__:
        if kind in PROBLEMS:
            return PROBLEMS[kind]
    raise KeyError(error)  # pragma: no cover - GatewayError itself is in the table


def render(error: GatewayError, *, instance: str) -> Reply:
    """The answer that tells ``error`` about the request at the path ``instance``."""
    found = row(type(error))
    facts = error.facts
    retryable = bool(facts.get("retryable", error.retryable))
    body: dict[str, Any] = {
        "type": TYPE + found.slug,
        "title": type(error).title(),
        "status": found.status,
        "detail": error.detail or f"{type(error).title()}.",
        "instance": instance,
        "retryable": retryable,
    }
    body.update({name: _plain(value) for name, value in facts.items() if name not in _HEADER_FACTS})
    if error.errors:
        body["errors"] = error.errors
    reply = Reply(found.status, msgspec.json.encode(body), media=MEDIA)
    _headers(reply, found.status, error)
    return reply


def _headers(reply: Reply, status: int, error: GatewayError) -> None:
    facts = error.facts
    if status == 401:
        reason = facts.get("error")
        scheme = "Webhook" if isinstance(error, errors.SignatureWrong) else "Bearer"
        challenge = f'{scheme} realm="twinrun"' + (f', error="{reason}"' if reason else "")
        reply.header("www-authenticate", challenge)
    if (wait := facts.get("retry_after_s")) is not None:
        # Rounded up: a caller that comes back a moment early is refused again.
        reply.header("retry-after", str(max(1, int(-(-float(wait) // 1)))))
    elif status in _WAIT or isinstance(error, errors.TwinRunning):
        reply.header("retry-after", str(RETRY_AFTER_S))
    if (location := facts.get("location") or _followed(error)) is not None:
        reply.header("location", addresses.of(str(location)))
    if (allow := facts.get("allow")) is not None:
        reply.header("allow", str(allow))
    if facts.get("replayed"):
        reply.header("idempotent-replayed", "true")


def _followed(error: GatewayError) -> Any:
    """The operation to follow, where the refusal is not the end of it."""
    return (
        error.facts.get("operation") if isinstance(error, errors.TwinRunning | errors.PendingWrite) else None
    )


def _plain(value: Any) -> Any:
    """Only what JSON knows leaves: anything else would be one of our own objects, seen from outside."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return msgspec.to_builtins(value, order="sorted", enc_hook=str)
