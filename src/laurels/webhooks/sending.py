"""
Sending one message: signed, to an address that was checked, within a time that is bounded.

httpcore is used as it is, without httpx around it: no redirects, no proxies from the environment, and the connection
is made by a backend of ours. What a receiver says is its status; of a body a little is read and nothing kept.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import ssl
import threading
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

import httpcore
import httpx
from standardwebhooks import Webhook

import laurels
from laurels.core.errors import InvalidInput
from laurels.core.periods import NaiveTime, from_datetime, to_datetime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from laurels.core.periods import Instant
    from laurels.webhooks.addresses import Addresses

T = TypeVar("T")

#: How long a receiver may take, from looking up its name to its status.
TIMEOUT_S = 15.0
#: How long one address of several may take to answer before the next is tried.
CONNECT_S = 4.0
#: How much of a body is read, and how long, so that the connection may be used again.
BODY_BYTES_MAX, BODY_S_MAX = 16_384, 1.0
CONNECTIONS_MAX = 100
#: Receivers that close connections of their own accord do so later than this.
KEEP_ALIVE_S = 2.0
RESOLVERS = 16
ERROR_CHARACTERS_MAX = 200


class Answer(NamedTuple):
    """What came of sending: a status, and how long to wait if it says so; or the error that kept one from coming."""

    status: int | None
    error: str | None
    retry_after_s: float
    duration_ms: int


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to the very addresses that were checked; TLS and the `Host` header go by the name all the same."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._connecting = httpcore.AnyIOBackend()
        self._resolvers = asyncio.Semaphore(RESOLVERS)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of a host that answers; raise InvalidInput where webhooks may not go there."""
        async with self._resolvers:
            found = await _in_daemon(self._addresses.of, host, port)
        for address in found[:-1]:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._connecting.connect_tcp(address, port, CONNECT_S, local_address, socket_options)
        return await self._connecting.connect_tcp(found[-1], port, timeout, local_address, socket_options)


class Sender:
    """Sends messages; used in an `async with`, in one event loop."""

    def __init__(
        self, addresses: Addresses, *, timeout_s: float = TIMEOUT_S, trust: ssl.SSLContext | None = None
    ) -> None:
        self._addresses = addresses
        self._timeout_s = timeout_s
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trust or httpx.create_ssl_context(),
            max_connections=CONNECTIONS_MAX,
            keepalive_expiry=KEEP_ALIVE_S,
            network_backend=CheckedBackend(addresses),
        )

    async def __aenter__(self) -> Self:
        """Return the sender itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def send(self, url: str, signing: tuple[str, ...], message_id: str, body: bytes, now: Instant) -> Answer:
        """Send a message and return what came of it, whatever it was."""
        began, status, error, retry_after_s = time.monotonic(), None, None, 0.0
        try:
            async with asyncio.timeout(self._timeout_s):
                status, retry_after_s = await self._post(url, signed(signing, message_id, body, now), body, now)
        except TimeoutError:
            error = f"no answer within {self._timeout_s:g} s"
        except InvalidInput as refused:
            error = str(refused.args[0])
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, ssl.SSLError, OSError) as own:
            error = f"{type(own).__name__}: {own}".rstrip(": ")
        duration_ms = round((time.monotonic() - began) * 1_000)
        return Answer(status, error and error[:ERROR_CHARACTERS_MAX], retry_after_s, duration_ms)

    async def _post(self, url: str, headers: dict[str, str], body: bytes, now: Instant) -> tuple[int, float]:
        target = self._addresses.target_of(url)
        address = httpcore.URL(
            scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.target.encode()
        )
        headers = {"host": target.host_header, **headers}
        async with self._pool.stream("POST", address, headers=list(headers.items()), content=body) as response:
            await _drain(response)
        given = {name.lower(): value.decode("latin-1") for name, value in response.headers}
        return response.status, retry_after(given.get(b"retry-after", ""), now)


async def _in_daemon(call: Callable[[str, int], T], host: str, port: int) -> T:
    """Call in a thread that nobody waits for: a name that no server answers for must not keep a process from ending."""
    loop, done = asyncio.get_running_loop(), concurrent.futures.Future[T]()

    def run() -> None:
        try:
            result = call(host, port)
        except Exception as error:  # noqa: BLE001  whatever it is, it is raised where it was asked
            done.set_exception(error)
        else:
            done.set_result(result)

    threading.Thread(target=run, name="laurels-resolver", daemon=True).start()
    return await asyncio.shield(asyncio.wrap_future(done, loop=loop))


def signed(signing: tuple[str, ...], message_id: str, body: bytes, now: Instant) -> dict[str, str]:
    """Return the headers of a message, signed by every secret given."""
    text, at = body.decode(), to_datetime(now)
    return {
        "content-type": "application/json",
        "user-agent": f"Laurels/{laurels.__version__}",
        "webhook-id": message_id,
        "webhook-timestamp": str(now // 1_000_000),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, at, text) for secret in signing),
    }


def retry_after(given: str, now: Instant) -> float:
    """Return how many seconds a `Retry-After` asks for: a number of them, or a date; 0 for what is neither."""
    if given.isascii() and given.isdigit():
        return float(given)
    try:
        return max(0.0, (from_datetime(parsedate_to_datetime(given)) - now) / 1_000_000)
    except (ValueError, NaiveTime):
        return 0.0


async def _drain(response: httpcore.Response) -> None:
    """Read a body if it is short and comes soon; else the connection is given up at the end of the block."""
    read_bytes = 0
    with suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
        async with asyncio.timeout(BODY_S_MAX):
            async for piece in response.aiter_stream():
                read_bytes += len(piece)
                if read_bytes > BODY_BYTES_MAX:
                    return
