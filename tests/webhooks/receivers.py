"""A receiver of webhooks: a real server on loopback that does what the test says and remembers what came."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec


@dataclass(frozen=True)
class Received:
    """One request that came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self):
        return self.headers["webhook-id"]

    @property
    def json(self):
        return msgspec.json.decode(self.body)


@dataclass
class Receiver:
    """Where messages go. `answers` are statuses (or statuses and headers) in turn, the last of them for ever."""

    url: str = ""
    answers: list = field(default_factory=lambda: [204])
    delay_s: float = 0.0
    #: Called when a message has come and before it is answered.
    interrupt: Callable[[], object] = bool
    came: list[Received] = field(default_factory=list)

    def answer(self):
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return found if isinstance(found, tuple) else (found, {})

    @property
    def types(self):
        return [one.json["type"] for one in self.came]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        receiver.came.append(Received(self.path, headers, body))
        receiver.interrupt()
        time.sleep(receiver.delay_s)
        status, extra = receiver.answer()
        self.send_response(status)
        for name, value in {"Content-Length": "0", **extra}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass

    def handle(self):
        with suppress(ConnectionError):  # The sender gave up; that is what some tests are about.
            super().handle()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, receiver, trust=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.receiver = receiver
        scheme = "http"
        if trust is not None:
            self.socket = trust.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
            scheme = "https"
        receiver.url = f"{scheme}://127.0.0.1:{self.server_port}/hook"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
        self.thread.join()

    def handle_error(self, request, client_address):
        pass
