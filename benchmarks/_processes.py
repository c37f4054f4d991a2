"""Processes of their own, each at the other end of a pipe."""

from __future__ import annotations

import multiprocessing
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection


@contextmanager
def started(work: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    """Start a process that works with the arguments and, last, its end of a pipe; wait for its end afterwards."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=work, args=(*arguments, theirs))
    process.start()
    theirs.close()  # So that we notice when the process has gone.
    try:
        yield ours
    finally:
        ours.close()
        process.join()
