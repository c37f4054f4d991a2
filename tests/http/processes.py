"""`laurels serve` as people start it: a process of its own, its output in files."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

import laurels

SOURCE = Path(laurels.__file__).parents[1]
START_S = 60.0
STOP_S = 30.0
PROGRAM = ("-m", "laurels")


class Service:
    """A running `laurels serve`, in a folder of its own."""

    def __init__(self, folder: Path, *arguments: str, program: tuple[str, ...] = PROGRAM, **settings: object) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("LAURELS_", "OTEL_"))}
        # `otel_…` are OpenTelemetry's own variables.
        of = {
            name.upper() if name.startswith("otel_") else f"LAURELS_{name.upper()}": str(value)
            for name, value in settings.items()
        }
        folder.mkdir(exist_ok=True)
        self.out, self.err = folder / "stdout", folder / "stderr"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *program, "serve", "--port", "0", *arguments],
                cwd=folder,
                env={**environment, "PYTHONPATH": str(SOURCE), "COLUMNS": "200", **of},
                stdout=out,
                stderr=err,
            )

    @property
    def said(self) -> str:
        """Everything it printed and logged so far."""
        return self.out.read_text() + self.err.read_text()

    @property
    def url(self) -> str:
        """Where it answers; waits for that."""
        return str(self.when(lambda: re.search(r"answers at (http://\S+?),", self.said))[1])

    @property
    def key(self) -> str:
        """The first key, which it showed."""
        found = re.search(r"^lrl_\w+$", self.said, re.MULTILINE)
        assert found is not None, self.said
        return found[0]

    def when(self, happens: Callable[[], object]) -> object:
        """Return what comes to be true soon."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if found := happens():
                return found
            assert self.process.poll() is None, self.said
            time.sleep(0.02)
        raise AssertionError(self.said)

    def client(self, key: str | None = None) -> httpx.Client:
        """A client with a key, the first one by default."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key or self.key}"}, timeout=30)

    def children(self) -> set[int]:
        """The processes that serve, if there are several."""
        pid = self.process.pid
        found = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return {child for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()}

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell it to end, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_S)


@contextmanager
def running(folder: Path, *arguments: str, **settings: object) -> Iterator[Service]:
    """Run `laurels serve` for as long as the block lasts, with these flags and settings."""
    service = Service(folder, *arguments, **settings)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.process.terminate()
            try:
                service.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                service.process.kill()
                service.process.wait()
