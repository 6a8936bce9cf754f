"""What happens, as a line of JSON each: no payload, no key."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

LOGGERS = ("tidewright", "uvicorn", "py.warnings")


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, logger, event, and the fields that it was given."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told = {"time": time, "level": record.levelname.lower(), "logger": record.name, "event": record.getMessage()}
        told |= getattr(record, "fields", {})
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


def log_to_stderr(worker: int | None = None) -> None:
    """Sends what the server says to stderr, as lines of JSON; for a process that serves and does nothing else."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    if worker is not None:
        handler.addFilter(_Worker(worker))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.captureWarnings(True)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # it tells of each start and stop in its own way


class _Worker(logging.Filter):
    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def filter(self, record: logging.LogRecord) -> bool:
        record.fields = {"worker": self._number, **getattr(record, "fields", {})}
        return True
