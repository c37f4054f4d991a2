"""
A bad line to the server: a proxy on loopback that cuts, delays and swallows what goes through it, as it is told.

It knows one thing of what it carries: the words of a client's statement that ends a transaction. So it can lose the
answer to a commit, which leaves the client in doubt, or the commit itself.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Self

CHUNK_BYTES = 65_536
COMMIT = b"COMMIT"
STEP_S = 0.02


class Line:
    """One client's connection and ours to the server."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.losing_answer = False

    def cut(self) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Proxy:
    """
    A proxy in front of a port of this machine. `delay_s` holds every chunk up; `swallows` holds all of them back.

    `lost` counts the transactions whose commit, or the answer to it, was lost.
    """

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.delay_s = 0.0
        self.swallows = False
        self.lost = 0
        self._answers_to_lose = 0
        self._commits_to_lose = 0
        self._bytes_left: int | None = None
        self._lock = threading.Lock()
        self._lines: set[Line] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Cut every connection that is open now."""
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            line.cut()

    def cut_after(self, count: int) -> None:
        """Cut the connection on which the so-manieth byte from now passes in either direction."""
        with self._lock:
            self._bytes_left = count

    @property
    def cuts_later(self) -> bool:
        """Whether the bytes that `cut_after` waits for have not all passed yet."""
        return self._bytes_left is not None

    def lose_answers(self, count: int) -> None:
        """Let the server commit so many of the next transactions, and the client never hear of it."""
        with self._lock:
            self._answers_to_lose = count

    def lose_commits(self, count: int) -> None:
        """Cut the connection of so many of the next transactions before the server is told to commit."""
        with self._lock:
            self._commits_to_lose = count

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.server_port))
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=[Line(client, server)], daemon=True).start()

    def _serve(self, line: Line) -> None:
        with self._lock:
            self._lines.add(line)
        answering = threading.Thread(target=self._carry, args=[line, line.server, line.client], daemon=True)
        answering.start()
        self._carry(line, line.client, line.server)
        answering.join()
        with self._lock:
            self._lines.discard(line)
        line.client.close()
        line.server.close()

    def _carry(self, line: Line, source: socket.socket, target: socket.socket) -> None:
        """Carry what one side says to the other until either ends, or the line is cut."""
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                if self.delay_s:
                    time.sleep(self.delay_s)
                while self.swallows:
                    time.sleep(STEP_S)
                data, ends = self._spoil(line, data, from_client=source is line.client)
                target.sendall(data)
                if ends:
                    break
        line.cut()

    def _spoil(self, line: Line, data: bytes, *, from_client: bool) -> tuple[bytes, bool]:
        """Return what is left of some data, and whether it is the last."""
        with self._lock:
            if from_client and COMMIT in data:
                if self._commits_to_lose:
                    self._commits_to_lose -= 1
                    self.lost += 1
                    return b"", True
                if self._answers_to_lose:
                    self._answers_to_lose -= 1
                    line.losing_answer = True
            elif line.losing_answer and not from_client:
                self.lost += 1
                return b"", True
            if self._bytes_left is not None:
                if len(data) > self._bytes_left:
                    data, self._bytes_left = data[: self._bytes_left], None
                    return data, True
                self._bytes_left -= len(data)
        return data, False
