"""
What the service logs: one line for each call and for whatever happens by itself, as JSON or for people.

Laurels logs through `logging`, with an event's name as the message and its facts as fields, and calls by structlog.
`laurels serve` renders both alike, on standard error; an application that embeds Laurels configures them as it likes.
No line holds a body, a query, a path with ids in it, a key, a token or the text of an unexpected error, which may quote
any of these: only its type and where it came from.
"""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

    from laurels.settings import Settings

#: Frames of a traceback, the innermost ones.
FRAMES_MAX = 30
_HERE = Path(__file__).parents[2]


def configure(settings: Settings) -> None:
    """Log as the settings say, to standard error. What libraries warn of comes in the same form."""
    render: Processor
    render_text: Processor
    lines: Callable[..., WrappedLogger]
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="at")
    if settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty()):
        render = render_text = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
        lines = structlog.PrintLoggerFactory(sys.stderr)
    else:
        render = structlog.processors.JSONRenderer(serializer=_encoded)
        render_text = structlog.processors.JSONRenderer(serializer=lambda event, **_: _encoded(event).decode())
        lines = structlog.BytesLoggerFactory(sys.stderr.buffer)
    structlog.configure(
        processors=[structlog.processors.add_log_level, _without_text_of_errors, stamp, render],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=lines,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            processors=[ProcessorFormatter.remove_processors_meta, _without_text_of_errors, stamp, render_text],
            foreign_pre_chain=[add_log_level, add_logger_name, ExtraAdder()],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("laurels").setLevel(settings.log_level.upper())
    logging.getLogger("uvicorn.error").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of the server's tells more than `call_failed` has told."""
    return not record.getMessage().startswith("Exception in ASGI application")


def of_calls() -> FilteringBoundLogger | None:
    """
    Return where calls are logged: by structlog, where that was configured, else nowhere.

    A line for each call adds up, and this costs a third of what it does by way of `logging`.
    """
    return structlog.get_logger().bind(logger="laurels.http.calls") if structlog.is_configured() else None


def _without_text_of_errors(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Tell of an error its type and the way it came; its text may hold what somebody sent."""
    exc_info = event.pop("exc_info", None)
    event.pop("exception", None)
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
        event["error"] = type(error).__name__
        event["came_from"] = [f"{_shown(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]
    return event


def _shown(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(_HERE)) if path.is_relative_to(_HERE) else "/".join(path.parts[-3:])


def _encoded(event: EventDict, **_: object) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)
