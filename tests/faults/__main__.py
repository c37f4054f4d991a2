"""
The long form: hundreds of faults, drawn at random, under load that never ends, and one audit of it all.

    PYTHONPATH=src python -m tests.faults --kills 200 --seed 7
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import laurels
from tests.faults.audit import audit
from tests.faults.faults import FAULTS, KILLS, Database, Scene
from tests.faults.fleet import SOURCE, Fleet
from tests.services import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.faults.audit import Audit
    from tests.faults.fleet import Pace

    Paces = Mapping[Callable[[Scene], None], list[Pace]]

BASELINE_S = 3.0
AFTER_S = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="writers, backends and servers to kill, in all")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end after so long in any case")
    asked = parser.parse_args()
    console = Console()
    console.print(f"seed {asked.seed}")
    with (
        PostgresServer() as server,
        Database(server, "faults") as database,
        tempfile.TemporaryDirectory() as folder,
    ):
        with Fleet(database.url, Path(folder), writers=asked.writers) as fleet:
            before = fleet.pace(window_s=BASELINE_S).units_a_second
            scene = Scene(database=database, fleet=fleet, dice=random.Random(asked.seed))
            paces = strike(scene, console, kills=asked.kills, until=time.monotonic() + 60 * asked.minutes)
        console.print("Every writer has ended; the audit sends everything once more …")
        with laurels.open(database.direct_url) as engine:
            found = audit(engine, fleet.notes)
        doctor = examined(database.direct_url)
    console.print(table_of(paces, before), told(found, fleet, paces), f"laurels doctor: exit {doctor}")
    enough = sum(len(paces.get(fault, ())) for fault in KILLS) >= asked.kills
    return 0 if enough and not found.problems and doctor == 0 else 1


def strike(scene: Scene, console: Console, *, kills: int, until: float) -> Paces:
    """Let one fault after another happen until enough of them killed something; return the paces after each."""
    paces: dict[Callable[[Scene], None], list[Pace]] = defaultdict(list)
    with Progress(console=console) as progress:
        bar = progress.add_task("Kills", total=kills)
        while not progress.finished and time.monotonic() < until:
            (fault,) = scene.dice.choices(list(FAULTS), list(FAULTS.values()))
            progress.update(bar, description=f"{fault.__name__.replace('_', ' '):<32}")
            try:
                fault(scene)
                paces[fault].append(scene.fleet.pace(window_s=AFTER_S))
            except (Exception, KeyboardInterrupt):  # noqa: BLE001  what was recorded until then is audited all the same
                console.print_exception()
                break
            progress.advance(bar, fault in KILLS)
    return paces


def examined(url: str) -> int:
    """Return the exit status of `laurels doctor`."""
    command = [sys.executable, "-m", "laurels", "doctor", "--database", url]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": str(SOURCE)}, check=False).returncode


def table_of(paces: Paces, before: float) -> Table:
    table = Table("fault", "times", "recovered s, median", "worst", "pace after / before", title="Faults")
    for fault in FAULTS:
        if seen := paces.get(fault):
            recovered = [pace.recovered_after_s for pace in seen]
            after = statistics.median(pace.units_a_second for pace in seen)
            table.add_row(
                fault.__name__.replace("_", " "),
                str(len(seen)),
                f"{statistics.median(recovered):.2f}",
                f"{max(recovered):.2f}",
                f"{after / before:.2f}",
            )
    return table


def told(found: Audit, fleet: Fleet, paces: Paces) -> str:
    """Return what came of it, line by line."""
    kills = sum(len(paces.get(fault, ())) for fault in KILLS)
    lines = [
        f"{kills} kills and {sum(map(len, paces.values())) - kills} other faults",
        f"units sent: {found.sent:,}, answered: {found.answered:,}, refused: {found.refused:,}",
        f"never answered: {found.unanswered}, of them there: {found.unanswered_but_there}",
        f"answered again: {found.repeated:,} while it went on, {found.answered:,} at the end",
        f"journal: {found.rows:,} rows of {found.users} users",
        *(f"{what}: {count:,}" for what, count in sorted(fleet.tallies.items()) if ": " in what),
        *(f"PROBLEM {problem}" for problem in found.problems),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
