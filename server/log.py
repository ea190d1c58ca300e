"""The log: a line of JSON per request and per event, uvicorn's included, on stderr."""

import logging
from typing import Any

import msgspec


class JsonLines(logging.Formatter):
    """Every record as one line of JSON; what is JSON already stays as it is."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        text = record.getMessage()
        if text.startswith("{") and not record.exc_info:
            return text
        entry = {"event": "log", "level": record.levelname.lower(), "message": text}
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


_TO_STDERR = {"handlers": ["stderr"], "level": "INFO", "propagate": False}
LOG_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": f"{__name__}.JsonLines"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "json"},
    },
    "loggers": {
        "uvicorn": _TO_STDERR,
        "pokejax.server": _TO_STDERR,
        # It would print prompts.
        "uvicorn.access": {"handlers": [], "propagate": False},
    },
}
