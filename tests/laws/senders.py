"""What another process does in a law: open the database that it is told, and send what it is given."""

from __future__ import annotations

from collections.abc import Sequence

import laurels
from laurels.core.errors import LaurelsError
from tests.conftest import Clock


def send(url: str, requests: Sequence) -> list:
    """Send requests one after the other; return each one's outcome, or the code of its error."""
    with laurels.open(url, clock=Clock()) as engine:
        return [answer_to(engine, request) for request in requests]


def answer_to(engine: laurels.Engine, request) -> laurels.Outcome | str:
    """Send one request and return its outcome, or the code of its error."""
    try:
        return engine.record(request)
    except LaurelsError as error:
        return error.code
