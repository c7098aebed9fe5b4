"""What the program tells about itself: structured log lines and metrics. No record ids in metric labels, no values
of records in log lines."""

from gateway.telemetry.log import Log, configure
from gateway.telemetry.metrics import Metrics

__all__ = ["Log", "Metrics", "configure"]
