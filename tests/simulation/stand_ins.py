"""What the engine finds in the place of threads, waits, clocks and dice while it is simulated; the rest is its own."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from functools import cache
from random import Random
from types import SimpleNamespace
from unittest.mock import patch

import stamina
import tenacity.nap

import laurels.engine
from laurels import lanes
from laurels.catalog_file import parse_catalog
from laurels.leaderboards import projector
from laurels.store import tail
from tests.simulation.scheduler import Scheduler, Threading, is_simulated

#: Every process reads the same few catalogs.
parsed_once = cache(parse_catalog)


@contextmanager
def simulated_threads(scheduler: Scheduler, dice: Random) -> Iterator[None]:
    """Let the engine's threads, waits, clocks and dice be those of the simulation."""
    result, exception = Future.result, Future.exception

    def waits(ask: Callable) -> Callable:
        def asked(future: Future, timeout: float | None = None):
            if not is_simulated():  # Futures of whoever else is in this Python process are none of ours.
                return ask(future, timeout)
            if not future.done():
                scheduler.pause(future.done, timeout)
            return ask(future, 0)

        return asked

    def stable_hash(value: str) -> int:
        return zlib.crc32(value.encode())

    clock = SimpleNamespace(monotonic=scheduler.monotonic, time=scheduler.monotonic, sleep=scheduler.sleep)
    with ExitStack() as stack:
        for where, name, stand_in in (
            (lanes, "threading", Threading(scheduler)),
            (lanes, "monotonic", scheduler.monotonic),
            (tail, "time", clock),
            (projector, "time", clock),
            (tenacity, "time", clock),
            (tenacity.nap, "time", clock),
            (stamina._core, "random", dice),
            (laurels.engine, "parse_catalog", parsed_once),
            (Future, "result", waits(result)),
            (Future, "exception", waits(exception)),
        ):
            stack.enter_context(patch.object(where, name, stand_in))
        stack.enter_context(patch.object(laurels.engine, "hash", stable_hash, create=True))
        stack.enter_context(patch.object(logging.getLogger("stamina"), "disabled", new=True))
        yield
