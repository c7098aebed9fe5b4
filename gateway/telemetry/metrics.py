"""The figures of one process, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

#: Seconds; from a local answer to a slow ERP.
TIMES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The figures of one process, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "twinrun_requests",
            "Requests by route and status",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.request_s = Histogram(
            "twinrun_request_seconds",
            "Time to answer",
            ["route", "method"],
            buckets=TIMES,
            registry=self.registry,
        )
        self.deliveries = Counter(
            "twinrun_deliveries",
            "What came of sends",
            ["entity", "system", "role", "event"],
            registry=self.registry,
        )
        self.rules_age = Gauge(
            "twinrun_rules_age_seconds", "Age of the copied routing rules", registry=self.registry
        )
