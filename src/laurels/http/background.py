"""What goes on by itself while an application is served: loops, each in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

#: A loop that a mistake of ours ended begins again after so long.
AGAIN_S = 5.0
#: How long a loop may take for the step it is at when it is told to stop.
END_S = 3.0

log = logging.getLogger("laurels.http")


class Loop(Protocol):
    """Work without an end: `run` does it until `stop`, and `close` gives up what it held."""

    def run(self) -> None:
        """Work until told to stop."""
        ...

    def stop(self) -> None:
        """Let `run` return soon; called from another thread."""
        ...

    def close(self) -> None:
        """Give up what the loop held."""
        ...


@asynccontextmanager
async def running(loops: Sequence[Loop], wake: Callable[[], None]) -> AsyncIterator[None]:
    """Run loops for as long as the block lasts; `wake` wakes those that are told to stop while they wait for work."""
    stopping = threading.Event()
    threads = [
        threading.Thread(target=_run, args=(loop, stopping), name=f"laurels-{type(loop).__name__.lower()}", daemon=True)
        for loop in loops
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for loop in loops:
            loop.stop()
        wake()
        await asyncio.to_thread(_end, loops, threads)


def _run(loop: Loop, stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            loop.run()
        except Exception:
            log.exception("loop_failed", extra={"loop": type(loop).__name__})
            stopping.wait(AGAIN_S)


def _end(loops: Sequence[Loop], threads: Sequence[threading.Thread]) -> None:
    for loop, thread in zip(loops, threads, strict=True):
        thread.join(END_S)
        if thread.is_alive():  # It hangs on something that is away; what it holds goes with the process.
            log.warning("loop_left", extra={"loop": type(loop).__name__})
        else:
            loop.close()
