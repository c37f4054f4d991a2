"""
`laurels serve`: one process that serves, or several that share a listening socket, and how they end.

Told to stop (SIGTERM, Ctrl+C), a process takes no more connections, lets the calls under way finish, ends the streams,
records what was handed over, and is gone within seconds. What takes longer is cut off, which loses nothing: it had no
answer yet, and can be sent again.
"""

from __future__ import annotations

import gc
import logging
import math
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

import uvicorn
from prometheus_client.multiprocess import mark_process_dead

from laurels import keys
from laurels.core.errors import LaurelsError
from laurels.engine import open_as_set
from laurels.http import logs, telemetry
from laurels.http.app import create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.context import SpawnProcess
    from types import FrameType

    from laurels.engine import Engine
    from laurels.http.service import Service
    from laurels.keys import NewKey
    from laurels.settings import Settings

BACKLOG = 2_048
#: A call makes some hundred objects, hardly any of them in cycles.
YOUNG_OBJECTS = 20_000
#: Longer than proxies keep idle connections, so that they close them and never meet one that is just being closed.
KEEP_ALIVE_S = 75
#: What comes after the last call: the loops end, the lanes commit.
FLUSH_S = 5.0
WATCH_S = 0.2
#: A process that dies as soon as it starts is started again so often and not oftener.
RESTART_PAUSE_S = 1.0
EXIT_FAILURE = 1

_spawn = multiprocessing.get_context("spawn")  # Threads and connections do not survive a fork.

log = logging.getLogger("laurels.serving")


@contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """Bind the address of the settings. Raises OSError, with the address as its file name, where that cannot be."""
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((settings.host, settings.port))
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; --host and --port name another", _address(settings)) from None
    with bound:
        yield bound


def address(bound: socket.socket) -> str:
    """Return how a caller on this machine reaches a socket."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  shown, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def prepare(settings: Settings) -> NewKey | None:
    """
    Make the database and a first key, where there were none; return the key, which is shown this once.

    Raises LaurelsError for a database or a setting that cannot be used, before any process is started that would.
    """
    with open_as_set(settings, create=True) as engine:
        create_app(engine, settings)
        return keys.create_first(engine)


def serve(settings: Settings, bound: socket.socket, ready: Callable[[], None]) -> int:
    """Serve until told to stop, and return the exit code; `ready` is called when calls are answered."""
    _open_many()
    if settings.workers == 1:
        return _serve(settings, bound, ready)
    with tempfile.TemporaryDirectory(prefix="laurels-metrics-") as folder:
        # Where the processes add up what they count; prometheus_client reads this when it is imported.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        return _Processes(settings, bound, ready).run()


def _serve(settings: Settings, bound: socket.socket, ready: Callable[[], None]) -> int:
    with telemetry.exporting(), open_as_set(settings, create=False) as engine:
        _Server(engine, settings, ready).run([bound])
        return 0


class _Server(uvicorn.Server):
    """One process's server, which ends streams when it is told to stop and leaves the exit code to us."""

    def __init__(self, engine: Engine, settings: Settings, ready: Callable[[], None]) -> None:
        app = create_app(engine, settings)
        self._service: Service = app.state.laurels
        self._ready = ready
        self._patience_s = settings.shutdown_timeout_s
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                proxy_headers=False,  # Nothing here depends on who a proxy says calls.
                server_header=False,
                root_path=settings.root_path,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=math.ceil(settings.shutdown_timeout_s),
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            _set_apart()
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Begin to stop; the second Ctrl+C waits for nobody."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        if not self.should_exit:
            self.should_exit = True
            self._service.stop()
            # A database that is away keeps lanes waiting for longer than anybody waits for this process.
            overdue = threading.Timer(self._patience_s + FLUSH_S, _give_up)
            overdue.daemon = True
            overdue.start()


def _open_many() -> None:
    """Let processes hold as many connections as the system allows them: the limit to begin with is often 1,024."""
    with suppress(ImportError, OSError, ValueError):  # Not every system has such limits, or lets itself be asked.
        import resource  # noqa: PLC0415

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _set_apart() -> None:
    """
    Keep the garbage collector off what is there from the start, and let it look more rarely at what comes.

    It looks at everything now and then, and nobody is answered meanwhile: a tenth of a second with what was imported.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def _give_up() -> None:
    log.error("shutdown_forced")
    logging.shutdown()
    os._exit(EXIT_FAILURE)


class _Processes:
    """The processes that serve, seen from the one that watches over them."""

    def __init__(self, settings: Settings, bound: socket.socket, ready: Callable[[], None]) -> None:
        self._settings = settings
        self._bound = bound
        self._ready = ready
        self._stopping = False
        self._running: dict[SpawnProcess, Connection] = {}
        self._serving: set[SpawnProcess] = set()
        self._announced = False

    def run(self) -> int:
        """Keep as many running as are wanted, until told to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            for _ in range(self._settings.workers):
                self._start()
            while not self._stopping:
                if not self._watch():
                    return EXIT_FAILURE
        finally:
            self._end()
        return 0

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _start(self) -> None:
        ours, theirs = _spawn.Pipe()
        process = _spawn.Process(target=_process, args=(self._settings, self._bound, theirs))
        process.start()
        theirs.close()
        self._running[process] = ours

    def _watch(self) -> bool:
        """See who is ready and who died, and replace the dead; False where none ever came to serve."""
        waiting = [lifeline for process, lifeline in self._running.items() if process not in self._serving]
        wait([*waiting, *(process.sentinel for process in self._running)], WATCH_S)
        for process, lifeline in list(self._running.items()):
            if not process.is_alive():
                if not self._announced:
                    return False
                log.warning("worker_died", extra={"pid": process.pid, "exit_code": process.exitcode})
                self._forget(process)
                time.sleep(RESTART_PAUSE_S if process not in self._serving else 0)
                self._start()
            elif process not in self._serving and lifeline.poll():
                self._serving.add(process)
        if not self._announced and len(self._serving) == self._settings.workers:
            self._announced = True
            self._ready()
        return True

    def _forget(self, process: SpawnProcess) -> None:
        self._running.pop(process).close()
        process.join()
        # What it had under way, nobody has any more.
        mark_process_dead(process.pid)  # type: ignore[no-untyped-call]

    def _end(self) -> None:
        for process in self._running:
            process.terminate()
        deadline = time.monotonic() + self._settings.shutdown_timeout_s + 2 * FLUSH_S
        for process in list(self._running):
            process.join(max(0.0, deadline - time.monotonic()))
            process.kill()
            self._forget(process)


def _process(settings: Settings, bound: socket.socket, lifeline: Connection) -> None:
    """Serve as one of several, until told to stop or until nobody watches any more."""
    threading.Thread(target=_end_with, args=(lifeline,), name="laurels-lifeline", daemon=True).start()
    logs.configure(settings)
    with suppress(OSError):  # Who should hear of it may be gone.
        try:
            _serve(settings, bound, lambda: lifeline.send(True))  # noqa: FBT003
        except LaurelsError as error:
            log.error("worker_failed", extra={"reason": str(error)})  # noqa: TRY400  it is told, not traced
            raise SystemExit(EXIT_FAILURE) from None


def _end_with(lifeline: Connection) -> None:
    """Stop when the other end is gone, or this process would hold the address for ever."""
    with suppress(EOFError, OSError):
        lifeline.recv()
    os.kill(os.getpid(), signal.SIGTERM)


def _address(settings: Settings) -> str:
    return f"{settings.host}:{settings.port}"
