"""Examples, started as their first lines say, each in a folder of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
START_S_MAX = 60

Start = Callable[..., httpx.Client]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `python ARGUMENTS`, in which {port} stands for a free one; return a client of what then serves there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started: list[subprocess.Popen[bytes]] = []
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
    log = tmp_path / "log"

    def run(*arguments: str, **environment: str) -> httpx.Client:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LAURELS_")}
        with log.open("wb") as output:
            started.append(
                subprocess.Popen(
                    [sys.executable, *(argument.format(port=port) for argument in arguments)],
                    cwd=tmp_path,
                    env=kept | {"PYTHONPATH": str(ROOT / "src")} | environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
            )
        wait_until_it_answers(started[-1], client, log)
        return client

    yield run
    client.close()
    for process in started:
        process.terminate()
        process.wait(10)


def wait_until_it_answers(process: subprocess.Popen[bytes], client: httpx.Client, log: Path) -> None:
    ends_at = time.monotonic() + START_S_MAX
    while True:
        try:
            client.get("/")
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < ends_at, log.read_text()
            time.sleep(0.05)
        else:
            return
