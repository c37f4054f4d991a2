"""
What the service logs: one line for each call and for whatever happens by itself, as JSON or for people.

Laurels logs through `logging`, with an event's name as the message and its facts as fields. `laurels serve` renders
that with structlog, on standard error; an application that embeds Laurels configures `logging` as it likes. No line
holds a body, a query, a path with ids in it, a key, a token or the text of an unexpected error, which may quote any of
these: only its type and where it came from.
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
    from structlog.typing import EventDict, WrappedLogger

    from laurels.settings import Settings

#: Frames of a traceback, the innermost ones.
FRAMES_MAX = 30
_HERE = Path(__file__).parents[2]


def configure(settings: Settings) -> None:
    """Log as the settings say, to standard error. Other libraries' warnings come in the same form."""
    for_people = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    render = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
        if for_people
        else structlog.processors.JSONRenderer(serializer=_encoded)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            processors=[
                ProcessorFormatter.remove_processors_meta,
                _without_text_of_errors,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
                render,
            ],
            foreign_pre_chain=[add_log_level, add_logger_name, ExtraAdder()],
        )
    )
    structlog.configure(  # For libraries that log by it, such as stamina, of what it tries again.
        processors=[add_log_level, add_logger_name, ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("laurels").setLevel(settings.log_level.upper())


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


def _encoded(event: EventDict, **_: object) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()
