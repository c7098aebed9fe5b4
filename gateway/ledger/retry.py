"""When a delivery is tried, or looked for, again. Seconds, full jitter, one owner of retries in the whole program."""

from __future__ import annotations

from gateway.ids import Ids

BASE_S = 1.0  #: the first wait is at most this long
CAP_S = 60.0  #: no wait is longer, so that an ERP that is back is used within a minute
PROBE_BASE_S = 0.5  #: the first look for a write of unknown outcome; then doubled
PROBE_CAP_S = 30.0
QUARANTINE_MARGIN_S = 30.0  #: added to the time in which an ERP may still apply what we gave up on


def backoff_s(attempt: int, ids: Ids) -> float:
    """How long to wait after the ``attempt``-th definite no: anywhere up to the doubled base, never less than 50 ms."""
    return max(0.05, ids.fraction() * min(CAP_S, BASE_S * 2.0 ** max(0, attempt - 1)))


def probe_s(probes: int) -> float:
    """How long to wait before looking again after ``probes`` looks that settled nothing."""
    return min(PROBE_CAP_S, PROBE_BASE_S * 2.0**probes)
