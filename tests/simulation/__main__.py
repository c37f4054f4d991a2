"""
Run the simulation: one seed again, or as many as there is time for.

    python -m tests.simulation --seed 4711
    python -m tests.simulation --minutes 10

A failure prints what went wrong and how to see it again.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from random import SystemRandom

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tests.simulation.auditor import simulate

console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=(__doc__ or "").splitlines()[1])
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--seed", type=int, help="run this one, and show where it fails")
    how.add_argument("--minutes", type=float, help="run new ones for so long, or until one fails")
    parser.add_argument("--first", type=int, help="with --minutes: begin with this seed (random by default)")
    asked = parser.parse_args()
    gc.disable()  # A run leaves few cycles, and looking for them takes as long as running.
    if asked.seed is not None:
        return run_one(asked.seed)
    first = asked.first if asked.first is not None else SystemRandom().randrange(10**9)
    return run_many(first, asked.minutes * 60)


def run_one(seed: int) -> int:
    """Run a seed; what goes wrong is raised, to be seen where it happened."""
    run = simulate(seed)
    told = f"{run.scheduler.steps} steps, {len(run.told.answers)} answers, {run.kills} kills"
    console.print(f"Seed {seed}: {told}. No law was broken.")
    return 0


def run_many(first: int, seconds: float) -> int:
    """Run one seed after the other for so long; return 1 when one of them failed."""
    began = time.monotonic()
    columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    seed = first
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=seconds)
        while (passed := time.monotonic() - began) < seconds:
            if seed % 50 == 0:
                progress.update(bar, completed=passed, description=_pace(seed - first, passed))
                gc.collect()
            try:
                simulate(seed)
            except Exception as error:  # noqa: BLE001  whatever it is, it is what this looks for
                console.print(f"{type(error).__name__}: {error}", markup=False)
                console.print(f"After {_pace(seed - first, passed)}. Again: python -m tests.simulation --seed {seed}")
                return 1
            seed += 1
    console.print(f"{_pace(seed - first, seconds)}, from seed {first} on. No law was broken.")
    return 0


def _pace(runs: int, seconds: float) -> str:
    return f"{runs:,} runs ({60 * runs / max(seconds, 1):,.0f} a minute)"


if __name__ == "__main__":
    sys.exit(main())
