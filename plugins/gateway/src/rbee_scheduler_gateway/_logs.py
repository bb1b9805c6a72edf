"""Logs: a line for each event, as JSON or for people, and never a word of a prompt.

Everything goes through the standard library's `logging`, so that an application that embeds
the gateway keeps its own set-up; only ``serve`` calls `setup_logging`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Literal

from rbee_scheduler import SchedulerError, WorkerError
from rbee_scheduler.cli._output import is_terminal, safe


if TYPE_CHECKING:
    from rbee_scheduler_gateway._call import Call
    from rbee_scheduler_gateway._gateway import Gateway


__all__ = ["AccessLog", "JsonFormatter", "LogFormat", "LogLevel", "TextFormatter", "setup_logging"]

LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]

# What every record has; whatever else is in one was given by `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# Loggers of ours; the level that is asked for is theirs, others are heard from "warning" on.
_OURS = ("rbee_scheduler", "rbee_scheduler_gateway")

# From here on a request has failed.
_FAILED = 400
_OUR_FAULT = 500


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonFormatter(logging.Formatter):
    """Makes a record one line of JSON: ts, level, logger, message, and what ``extra`` gave."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "ts": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """Makes a record a line for people: time, level, message, ``key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback below it where there is one."""
        # What clients and workers say must not begin a line of its own.
        message = safe(record.getMessage()).replace("\n", "\\n")
        words = [_timestamp(record), f"{record.levelname.lower():7}", message]
        words += [
            f"{key}={json.dumps(value, default=str)}" for key, value in _extras(record).items()
        ]
        line = " ".join(words)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def setup_logging(
    level: LogLevel = "info",
    form: LogFormat = "auto",
    *,
    process: int | None = None,
    stream: IO[str] | None = None,
) -> Callable[[], None]:
    """Let all logs go to ``stream``, and to nowhere else.

    Args:
        level: The least important events of ours that are logged; of others: warnings.
        form: ``"json"``, ``"text"``, or ``"auto"``: text on a terminal.
        process: Number of this process, where there are several; every line has it.
        stream: Where to; stderr by default.

    Returns:
        A function that sets everything back.
    """
    stream = stream or sys.stderr
    if form == "auto":
        form = "text" if is_terminal(stream) else "json"
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if form == "text" else JsonFormatter())
    if process is not None:
        handler.addFilter(_Numbered(process))
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, _OURS)]
    before = [(logger, logger.level) for logger in loggers]
    handlers = root.handlers
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for logger in loggers[1:]:
        logger.setLevel(level.upper())

    def undo() -> None:
        root.handlers = handlers
        for logger, its_level in before:
            logger.setLevel(its_level)

    return undo


class _Numbered(logging.Filter):
    """Lets everything through, with the process's number."""

    def __init__(self, process: int) -> None:
        super().__init__()
        self._process = process

    def filter(self, record: logging.LogRecord) -> bool:
        record.process_number = self._process
        return True


class AccessLog:
    """Logs calls that were answered, as ``access_log`` says; one of `Watchers.on_call`.

    Args:
        gateway: Its options say which calls; a reload may change that.

    Example::

        gateway.watchers.on_call.append(AccessLog(gateway))
    """

    __slots__ = ("_gateway", "_logger")

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._logger = logging.getLogger("rbee_scheduler.gateway.access")

    def __call__(self, call: Call) -> None:
        """Log a call."""
        wanted = self._gateway.options.access_log
        status = call.status
        failed = not 0 < status < _FAILED or call.error is not None
        if wanted == "none" or (wanted == "errors" and not failed):
            return
        level = logging.WARNING if status >= _OUR_FAULT else logging.INFO
        if not self._logger.isEnabledFor(level):
            return
        exchange = call.exchange
        said = status or "client left"
        facts = {
            "correlation_id": call.correlation_id,
            "status": status,
            "ms": round((self._gateway.clock.monotonic() - call.began) * 1000.0, 1),
            "client": exchange.client,
            **_of_request(call),
            **_of_error(call.error),
        }
        self._logger.log(level, "%s %s %s", exchange.method, exchange.path, said, extra=facts)


def _of_request(call: Call) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if call.worker_id:
        facts["worker"] = call.worker_id
    if call.request is not None:
        facts["job_id"] = call.request.job_id
        facts["model"] = call.request.model
    if call.identity.tenant_id is not None:
        facts["tenant"] = call.identity.tenant_id
    return facts


def _of_error(error: Exception | None) -> dict[str, Any]:
    if error is None:
        return {}
    if not isinstance(error, SchedulerError):
        return {"code": "INTERNAL", "error": type(error).__name__}
    if isinstance(error, WorkerError):  # a worker's own words may repeat the prompt
        return {"code": error.code, "error": f"the worker answered {error.status}"}
    return {"code": error.code, "error": error.message}
