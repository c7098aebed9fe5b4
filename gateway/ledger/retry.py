"""When a delivery is tried, or looked for, again. Seconds, full jitter, one owner of retries in the whole program."""

from __future__ import annotations

from gateway.ids import Ids

BASE_S = 1.0  #: the first wait is at most this long
CAP_S = 300.0  #: no wait is longer; what waits for an ERP that was away is woken when it is back
PROBE_BASE_S = 0.5  #: the first look for a write of unknown outcome; then doubled
PROBE_CAP_S = 30.0
FAILED_LOOK_CAP_S = 10.0
DOUBLINGS = 30  #: beyond it every wait is capped anyway, and the number would outgrow a float
QUARANTINE_MARGIN_S = 30.0  #: added to the time in which an ERP may still apply what we gave up on


REFERENCE_BASE_S = 0.5  #: a record that a system does not hold yet: most are on their way
REFERENCE_GROWTH = 1.1  #: and each time a little longer, since some need a backfill that may be days off
REFERENCE_CAP_S = 30.0
REFERENCE_HORIZON_S = 24 * 3600.0  #: after this long a person decides


def backoff_s(attempt: int, ids: Ids) -> float:
    """How long to wait after the ``attempt``-th definite no: anywhere up to the doubled base, never less than 50 ms."""
    return max(0.05, ids.fraction() * min(CAP_S, BASE_S * 2.0 ** min(max(0, attempt - 1), DOUBLINGS)))


def reference_wait_s(attempt: int) -> float:
    """How long a delivery waits for a record that it refers to, after ``attempt`` times in vain."""
    return min(REFERENCE_CAP_S, REFERENCE_BASE_S * REFERENCE_GROWTH ** min(attempt, 100))


def failed_look_s(age_s: float) -> float:
    """How long to wait after a look that failed, for a write of this age: it has shown nothing, so it does not count,
    and the waits grow with the time that the system has been away."""
    return min(FAILED_LOOK_CAP_S, max(PROBE_BASE_S, age_s / 4))


def probe_s(probes: int) -> float:
    """How long to wait before looking again after ``probes`` looks that settled nothing."""
    return min(PROBE_CAP_S, PROBE_BASE_S * 2.0 ** min(probes, DOUBLINGS))
