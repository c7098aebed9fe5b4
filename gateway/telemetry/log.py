"""Structured log lines: one JSON object a line on standard error, written by a thread of its own so that no request
waits for a terminal. Control characters are escaped by the encoding."""

from __future__ import annotations

import atexit
import logging
import logging.handlers
import queue
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

#: Libraries that would write a line for each call to an ERP, addresses and all.
CHATTY = ("httpx", "httpcore", "aiohttp.access", "uvicorn.access", "alembic.runtime.migration", "asyncio")


class Log:
    """The program's own log: an event in plain words and its facts by name."""

    def __init__(self, name: str = "twinrun") -> None:
        self._log = logging.getLogger(name)

    def debug(self, event: str, **facts: Any) -> None:
        self._log.debug(event, extra={"facts": facts})

    def info(self, event: str, **facts: Any) -> None:
        self._log.info(event, extra={"facts": facts})

    def warning(self, event: str, **facts: Any) -> None:
        self._log.warning(event, extra={"facts": facts})

    def error(self, event: str, **facts: Any) -> None:
        self._log.error(event, extra={"facts": facts})

    def exception(self, event: str, **facts: Any) -> None:
        """With the traceback of the exception that is being handled."""
        self._log.error(event, exc_info=True, extra={"facts": facts})


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.name != "twinrun":
            line["logger"] = record.name
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def configure(level: str) -> None:
    """Sends every log line of this process through one queue to standard error. Called once by the program's start."""
    lines: queue.SimpleQueue[Any] = queue.SimpleQueue()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    listener = logging.handlers.QueueListener(lines, handler)
    listener.start()
    atexit.register(listener.stop)
    root = logging.getLogger()
    root.handlers[:] = [_Queue(lines)]
    root.setLevel(level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


class _Queue(logging.handlers.QueueHandler):
    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        # Formatting happens in the writing thread; the record itself travels as it is within one process.
        return record
