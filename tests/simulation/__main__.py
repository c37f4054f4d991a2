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
import traceback
from random import SystemRandom

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tests.simulation.auditor import simulate


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
        return _run_one(asked.seed)
    first = asked.first if asked.first is not None else SystemRandom().randrange(10**9)
    return _run_many(first, asked.minutes * 60)


def _run_one(seed: int) -> int:
    try:
        run = simulate(seed)
    except BaseException:
        traceback.print_exc()
        return 1
    print(f"seed {seed}: {run.scheduler.steps} steps, {len(run.told.answers)} answers, {run.kills} kills, no law broken")
    return 0


def _run_many(first: int, seconds: float) -> int:
    began = time.monotonic()
    columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    seed = first
    with Progress(*columns, transient=True) as progress:
        bar = progress.add_task("", total=seconds)
        while (passed := time.monotonic() - began) < seconds:
            done = seed - first
            if done % 50 == 0:
                progress.update(bar, completed=passed, description=f"{done} runs, {60 * done / max(passed, 1):.0f} a minute")
                gc.collect()
            try:
                simulate(seed)
            except BaseException as error:  # noqa: BLE001  whatever it is, it is what this looks for
                if isinstance(error, KeyboardInterrupt):
                    break
                progress.stop()
                print(f"{type(error).__name__}: {error}\nSeen with seed {seed}, after {done} runs without it. Again:")
                print(f"    python -m tests.simulation --seed {seed}")
                return 1
            seed += 1
    passed = time.monotonic() - began
    print(f"{seed - first} runs from seed {first}, {60 * (seed - first) / passed:.0f} a minute: no law was broken")
    return 0


if __name__ == "__main__":
    sys.exit(main())
