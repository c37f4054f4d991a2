"""
The loop that records what an importer reads, and the two imports that are made of it.

Events go to the engine in batches, each recorded whole or not at all, while the next one is being read. Their ids make
an import safe to repeat: stopped and run again, it finds what is there and goes on behind it.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from laurels.catalog_file import load_catalog
from laurels.core.errors import Conflict, LaurelsError, Unavailable
from laurels.core.periods import to_datetime
from laurels.core.requests import is_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from laurels.core.events import Event
    from laurels.engine import Engine
    from laurels.importers.events import EventsFile
    from laurels.importers.stackexchange import Dump
    from laurels.protocols import Progress

BATCH_EVENTS = 250
BATCH_NAMES = 1_000

#: An event, and where it comes from, for people: `FILE:LINE`.
Placed = tuple["Event", str]


@dataclass(slots=True)
class Tally:
    """
    How far an import came: events recorded now, those that were there already, and what was left out as wrong.

    `report` is told of each of the last, with its place.
    """

    report: Callable[[str], object]
    recorded: int = 0
    repeated: int = 0
    left_out: int = 0

    @property
    def seen(self) -> int:
        """Return how many rows and events were looked at."""
        return self.recorded + self.repeated + self.left_out

    def leave_out(self, what: object) -> None:
        """Count and report a row or an event that is not recorded."""
        self.left_out += 1
        self.report(str(what))


def import_events(engine: Engine, file: EventsFile, tally: Tally, progress: Progress) -> None:
    """
    Record the events in a file of JSON lines.

    Raises InvalidInput for a file that cannot be read to its end: what came before is recorded.
    """
    step = progress("Recording events", "events")

    def show() -> None:
        done, share = tally.seen, file.share_read
        step(done, round(done / share) if share else None)

    load(engine, file.events(tally.leave_out), tally, on_batch=show)
    engine.project(progress)


def import_dump(engine: Engine, dump: Dump, tally: Tally, progress: Progress) -> None:
    """
    Record the history in a Stack Exchange data dump, under the bundled catalog `stackexchange`.

    Raises Conflict `catalog_differs` if the database's catalog is another, InvalidInput for a dump that cannot be read;
    nothing is recorded then.
    """
    _check_catalog(engine)
    _read(dump, to_datetime(engine.now()), tally, progress("Reading the dump", "bytes"))
    step, before, total = progress("Recording events", "events"), tally.seen, dump.events_total()
    placed = ((event, f"{event.type} {event.id} of user {event.user}") for event in dump.events())
    load(engine, placed, tally, on_batch=lambda: step(tally.seen - before, total))
    _name_users(engine, dump)
    engine.project(progress)


def _read(dump: Dump, now: datetime, tally: Tally, step: Callable[[int, int | None], object]) -> None:
    read = 0

    def add(count: int) -> None:
        nonlocal read
        read += count
        step(read, dump.bytes_total)

    dump.load(now=now, on_bad_row=tally.leave_out, on_bytes=add)


def load(engine: Engine, events: Iterable[Placed], tally: Tally, *, on_batch: Callable[[], object]) -> None:
    """
    Record events in their order; `on_batch` is called in this thread after each batch.

    An event that the engine refuses is left out, alone. Raises Unavailable when the database cannot take more; what
    `tally` counts as recorded is, also then, and when the caller is interrupted.
    """
    recording: Future[None] | None = None
    with ThreadPoolExecutor(1, "laurels-import") as recorder:
        for batch in _batches(events):
            if recording is not None:
                recording.result()
                on_batch()
            recording = recorder.submit(_record, engine, batch, tally)
        if recording is not None:
            recording.result()
            on_batch()


def _batches(events: Iterable[Placed]) -> Iterator[list[Placed]]:
    batch: list[Placed] = []
    try:
        for placed in events:
            if len(batch) == BATCH_EVENTS:
                yield batch
                batch = []
            batch.append(placed)
    except LaurelsError:  # A file may break off: what was read before that is good.
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _record(engine: Engine, batch: list[Placed], tally: Tally) -> None:
    """Record a batch; if something in it is refused, halve it until what is refused stands alone."""
    try:
        outcomes = engine.record([event for event, _ in batch])
    except Unavailable:
        raise
    except LaurelsError as error:
        if len(batch) == 1:
            tally.leave_out(f"{batch[0][1]}: {error}")
            return
        middle = len(batch) // 2
        _record(engine, batch[:middle], tally)
        _record(engine, batch[middle:], tally)
    else:
        repeated = sum(outcome.status == "duplicate" for outcome in outcomes)
        tally.repeated += repeated
        tally.recorded += len(outcomes) - repeated


def _check_catalog(engine: Engine) -> None:
    current = engine.catalog
    if current.source != load_catalog("stackexchange").source:
        raise Conflict(
            "catalog_differs",
            f"The database works under the catalog {current.name!r}, an import of a dump needs the bundled one named "
            "stackexchange. Import into a database of its own, such as `--database sqlite:///stackexchange.db`, or "
            "change this one's catalog first: `laurels catalog apply stackexchange`.",
        )


def _name_users(engine: Engine, dump: Dump) -> None:
    names: dict[str, str] = {}
    for user_id, name in dump.display_names():
        if is_id(name.strip()):
            names[user_id] = name.strip()
        if len(names) == BATCH_NAMES:
            engine.name_users(names)
            names = {}
    engine.name_users(names)
