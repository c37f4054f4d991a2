"""The writers of a test: programs that are started, killed, frozen and started again, and everything they noted."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import laurels
from tests.faults.writer import Note, read_notes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
SOURCE = Path(laurels.__file__).parents[1]
WINDOW_S = 1.0
#: How long it may take until every writer is answered again.
RECOVERY_S = 60.0
STOP_S = 90.0
STEP_S = 0.02


class Pace(NamedTuple):
    """How long it took until every writer was answered, and how many units a second were from then on."""

    recovered_after_s: float
    units_a_second: float


class Writer:
    """One writer, a program of its own. Its notes go on where those of the one before it end."""

    def __init__(self, url: str, name: str, folder: Path, options: tuple[str, ...]) -> None:
        self.name = name
        self._path = folder / f"{name}.jsonl"
        self._errors = folder / f"{name}.log"
        self._command = [sys.executable, "-m", "tests.faults.writer", url, name, str(self._path), *options]
        self._process: subprocess.Popen[bytes] | None = None
        self._read = 0

    def start(self) -> None:
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(SOURCE)},
                stdin=subprocess.PIPE,
                stderr=errors,
            )

    def kill(self) -> None:
        process = self._running()
        process.kill()
        process.communicate()
        self._process = None

    def freeze(self) -> None:
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def limit_files(self, size: int = resource.RLIM_INFINITY) -> None:
        """Let no file of the writer grow beyond a size, as a disk quota would."""
        resource.prlimit(self._running().pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def end(self) -> None:
        """Ask for the end; what was sent is still sent again until it is answered."""
        if self._process is not None:
            pipe = self._process.stdin
            assert pipe
            pipe.close()

    def wait(self) -> None:
        """Wait for the end. Fails if it does not come, or in a way that nobody asked for."""
        if self._process is not None:
            process, self._process = self._process, None
            try:
                status = process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                status = "never"
            assert status == 0, f"{self.name} ended with {status}: {self._errors.read_text()[-3_000:]}"

    def new_notes(self) -> list[Note]:
        """Return what was noted since this was asked last."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        # The last line may not be whole yet; the break before it is read again with it.
        whole = len(data) if self._process is None else data.rfind(b"\n")
        if whole <= 0:
            return []
        self._read += whole
        return list(read_notes(data[:whole]))

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process, f"{self.name} does not run"
        return self._process


class Fleet:
    """Some writers on one database, and all that they noted."""

    def __init__(self, url: str, folder: Path, *, writers: int = 2, options: tuple[str, ...] = ()) -> None:
        self.writers = [Writer(url, f"writer-{number}", folder, options) for number in range(writers)]
        self.notes: list[Note] = []
        self.answers: Counter[str] = Counter()  #: How many units each writer was told the end of.
        self.tallies: Counter[str] = Counter()

    def __enter__(self) -> Self:
        for writer in self.writers:
            writer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for writer in self.writers:
            if kind is None:
                writer.end()
            elif writer._process is not None:
                writer.kill()
        for writer in self.writers:
            writer.wait()
        self.look()

    def look(self) -> None:
        """Take in what was noted meanwhile."""
        for writer in self.writers:
            for note in writer.new_notes():
                self.notes.append(note)
                self.answers[writer.name] += note.what in ("answered", "refused")
                self.tallies[note.what] += 1
                if note.what in ("retried", "unread", "refused"):
                    self.tallies[f"{note.what}: {note.detail}"] += 1

    def pace(self, *, window_s: float = WINDOW_S) -> Pace:
        """Wait until every writer was answered anew, and see how fast all go on. Fails where one is not answered."""
        started_at = time.monotonic()
        self.look()
        before = self.answers.copy()
        self.wait_until(lambda: all(self.answers[w.name] > before[w.name] for w in self.writers))
        recovered_at = time.monotonic()
        answered = self.answers.total()
        time.sleep(window_s)
        self.look()
        return Pace(recovered_at - started_at, (self.answers.total() - answered) / (time.monotonic() - recovered_at))

    def wait_until(self, happens: Callable[[], bool]) -> None:
        """Wait for something to be noted. Fails with the last notes if it never is."""
        for _ in _steps(RECOVERY_S):
            self.look()
            if happens():
                return
        last = "\n".join(map(str, self.notes[-20:]))
        raise AssertionError(f"it did not happen in {RECOVERY_S:g} s; the last notes:\n{last}")


def _steps(seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(STEP_S)
