"""
What the service tells of itself: metrics for Prometheus, spans for OpenTelemetry, a log line for each call.

Names are those of OpenTelemetry's semantic conventions, as Prometheus writes them. Nothing told holds a user's id: a
call is known by its route, such as `/v1/users/{user_id}`. Without an SDK of OpenTelemetry's, spans cost nothing.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import threading
import time
from collections import deque
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal, NamedTuple

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanKind, StatusCode
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy import func, select

import laurels
from laurels.core.errors import InvalidInput, LaurelsError, Unavailable
from laurels.http import logs
from laurels.http.problems import of_error
from laurels.leaderboards.projector import PROJECTION
from laurels.store.tables import journal
from laurels.webhooks import deliveries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from opentelemetry.trace import SpanContext
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from laurels.engine import Engine
    from laurels.http.auth import Caller
    from laurels.http.hub import Hub
    from laurels.protocols import Recorded
    from laurels.webhooks.deliverer import Deliverer

#: Where several processes add up what they count; prometheus_client's own variable.
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
#: Those that OpenTelemetry's conventions advise for calls.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
BATCH_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
#: Asked every few seconds by machines: counted, but neither traced nor logged above debug.
ASKED_BY_MACHINES = frozenset({"/healthz", "/readyz", "/metrics"})
#: More would make one commit's span larger than a collector takes.
LINKS_MAX = 128
#: Commits that wait for a projection to name them; where another process projects, they are forgotten.
COMMITS_KEPT = 256
#: How long the last spans may take to a collector that is away.
FLUSH_S = 2.0
SAMPLE_S = 2.0
#: For calls that were under way for longer than stopping waits. What they asked for may be recorded all the same.
STOPPING = Unavailable(
    "engine_closed", "The service is being stopped. Send the same again, with its id.", retryable=True
)
CALL_ID = b"x-request-id"
TRACE_HEADERS = (b"traceparent", b"tracestate")
_call_id_given = re.compile(rb"[A-Za-z0-9._-]{1,64}").fullmatch


class _Asked(NamedTuple):
    """The call that handed requests over to the engine, and when (ns)."""

    context: SpanContext
    at: int


class _Commit(NamedTuple):
    """A batch's span, and when it ended (ns)."""

    context: SpanContext
    ended_at: int


class Telemetry:
    """What one application counts and traces. It observes the engine (see protocols.py)."""

    def __init__(self, engine: Engine, hub: Hub) -> None:
        self._engine = engine
        self._hub = hub
        #: What sends to webhooks, where this application does.
        self.deliverer: Deliverer | None = None
        self._delivered: dict[str, int] = {}
        self._sampling = threading.Lock()
        self._tracer = trace.get_tracer("laurels", laurels.__version__)
        self._commits: deque[_Commit] = deque(maxlen=COMMITS_KEPT)
        self._registry = registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str, among: Literal["livesum", "mostrecent"] = "livesum") -> Gauge:
            return Gauge(name, text, labels, registry=registry, multiprocess_mode=among)

        def histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(name, text, labels, registry=registry, buckets=buckets)

        of_call = ("http_request_method", "http_route", "http_response_status_code")
        self.calls = histogram("http_server_request_duration_seconds", "How long calls took.", SECONDS, *of_call)
        self.active = gauge(
            "http_server_active_requests", "Calls under way, open streams included.", "http_request_method"
        )
        requests = counter("laurels_requests_recorded", "Requests that came out of a batch.", "status")
        self._applied, self._duplicates, self._refused = map(requests.labels, ("applied", "duplicate", "refused"))
        self._batches = histogram("laurels_batch_requests", "How many requests shared a commit.", BATCH_SIZES)
        self._commit_s = histogram(
            "laurels_commit_duration_seconds", "How long a batch took to load, decide, write and commit.", SECONDS
        )
        self._waiting = gauge("laurels_requests_waiting", "Requests that wait to be recorded.")
        self._projected = counter("laurels_projection_rows", "Rows of the journal that were projected.", "projection")
        self._behind = gauge(
            "laurels_projection_behind_rows", "How far it is behind the journal.", "projection", among="mostrecent"
        )
        self._listeners = gauge("laurels_stream_listeners", "Open live streams.")
        self._webhooks = gauge(
            "laurels_webhook_messages",
            "Messages to webhooks that wait to be delivered, and that were dropped.",
            "status",
            among="mostrecent",
        )
        self._deliveries = counter(
            "laurels_webhook_deliveries",
            "What became of messages to webhooks; `failed` counts attempts, which are made again.",
            "status",
        )
        if not os.environ.get(SHARED_FOLDER):
            for collector in (ProcessCollector, PlatformCollector, GCCollector):
                collector(registry=registry)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics, of all processes that serve together, and the media type they are written in."""
        self.sample()
        self._behind.labels(PROJECTION).set(self._rows_behind())
        for status, messages in zip(("waiting", "dropped"), self._webhook_messages(), strict=True):
            self._webhooks.labels(status).set(messages)
        registry = self._registry
        if os.environ.get(SHARED_FOLDER):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        encode, media_type = choose_encoder(accept)
        return encode(registry), media_type

    def sample(self) -> None:
        """Take note of what is so at the moment, and of what was delivered since the last time."""
        with self._sampling:
            self._waiting.set(self._engine.waiting)
            self._listeners.set(self._hub.listeners)
            if self.deliverer is not None:
                for status, count in asdict(self.deliverer.done).items():
                    self._deliveries.labels(status).inc(count - self._delivered.get(status, 0))
                    self._delivered[status] = count

    def _rows_behind(self) -> float:
        try:
            with self._engine.read() as connection:
                end: int = connection.scalar(select(func.max(journal.c.seq))) or 0
            return self._engine.projector.behind(end)
        except LaurelsError:
            return float("nan")  # Nobody can say while the database or Redis is away.

    def _webhook_messages(self) -> tuple[float, float]:
        try:
            with self._engine.read() as connection:
                return deliveries.counts(connection)
        except LaurelsError:
            return float("nan"), float("nan")

    # --- What the engine tells ----------------------------------------------------------------------------------------

    def caller(self) -> object:
        """Return the call that is under way here, if it is traced."""
        context = trace.get_current_span().get_span_context()
        return _Asked(context, time.time_ns()) if context.trace_flags.sampled else None

    def committed(self, batch: Recorded) -> None:
        """Count a batch, and trace it: a span of its own, linked with one in the trace of every call that is in it."""
        ended_at = time.time_ns()
        self._applied.inc(batch.applied)
        self._duplicates.inc(batch.duplicates)
        self._refused.inc(batch.refused)
        self._batches.observe(batch.applied + batch.duplicates + batch.refused)
        self._commit_s.observe((ended_at - batch.began_at) / 1e9)
        self._waiting.set(self._engine.waiting)
        if not is_traced():
            return
        asked = [caller for caller in batch.callers if isinstance(caller, _Asked)]
        span = self._span("laurels.commit", batch.began_at, [each.context for each in asked])
        span.set_attributes(
            {
                "laurels.requests.applied": batch.applied,
                "laurels.requests.duplicate": batch.duplicates,
                "laurels.requests.refused": batch.refused,
            }
        )
        span.end(ended_at)
        self._commits.append(_Commit(span.get_span_context(), ended_at))
        for each in asked:
            within = trace.set_span_in_context(NonRecordingSpan(each.context), Context())
            self._span("laurels.record", each.at, [span.get_span_context()], within).end(ended_at)

    def projected(self, rows: int, began_at: int) -> None:
        """Count what was projected, and trace it, linked with the commits of this process that it brings to boards."""
        self._projected.labels(PROJECTION).inc(rows)
        if not is_traced():
            return
        commits = []
        while self._commits and self._commits[0].ended_at <= began_at:
            commits.append(self._commits.popleft().context)
        span = self._span("laurels.project", began_at, commits)
        span.set_attributes({"laurels.projection": PROJECTION, "laurels.rows": rows})
        span.end()

    def _span(self, name: str, began_at: int, linked: Sequence[SpanContext], within: Context | None = None) -> Span:
        links = [Link(context) for context in linked[:LINKS_MAX]]
        return self._tracer.start_span(name, within or Context(), links=links, start_time=began_at)

    # --- Calls --------------------------------------------------------------------------------------------------------

    def call_span(self, method: str, headers: dict[str, str]) -> AbstractContextManager[Span]:
        """Return the span of a call, within that of an application around this one, or else of the caller."""
        if is_traced():
            is_inside = trace.get_current_span().get_span_context().is_valid
            within = None if is_inside else propagate.extract(headers)
            return self._tracer.start_as_current_span(
                method,
                within,
                SpanKind.SERVER,
                {"http.request.method": method},
                record_exception=False,  # Its text may hold what somebody sent.
                set_status_on_exception=False,
            )
        if "traceparent" in headers:
            return nullcontext(trace.get_current_span(propagate.extract(headers)))
        return nullcontext(trace.INVALID_SPAN)


class Sampler:
    """A loop that samples, so that what one process is asked for holds for the others as well."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._stopping = threading.Event()

    def run(self) -> None:
        """Sample until told to stop."""
        while not self._stopping.wait(SAMPLE_S):
            self._telemetry.sample()

    def stop(self) -> None:
        """Let `run` return at once."""
        self._stopping.set()

    def close(self) -> None:
        """Give up nothing: it holds nothing."""


class Calls:
    """Counts, times, traces and logs every call, whatever becomes of it; the outermost thing that a call passes."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry
        self._log = logs.of_calls()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, and tell of it at its end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        call_id, headers = _of_headers(scope)
        scope["laurels.call_id"] = call_id.decode()
        status, began_at = 0, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), (CALL_ID, call_id)]}
            await send(message)

        active = self._telemetry.active.labels(method)
        active.inc()
        machines = scope["path"] in ASKED_BY_MACHINES
        with nullcontext(trace.INVALID_SPAN) if machines else self._telemetry.call_span(method, headers) as span:
            try:
                await self._app(scope, receive, send_with_id)
            except asyncio.CancelledError:
                if not status:
                    await of_error(STOPPING)(scope, receive, send_with_id)
                raise
            finally:
                active.dec()
                status = status or 500
                seconds, route = time.perf_counter() - began_at, _route(scope)
                self._telemetry.calls.labels(method, route, str(status)).observe(seconds)
                _tell(span, method, route, status)
                if self._log is not None:
                    tell = self._log.debug if machines else self._log.info
                    tell("call", **_facts(scope, method, route, status, seconds, span))


def is_traced() -> bool:
    """Whether an SDK of OpenTelemetry's was set up in this process."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@contextmanager
def exporting() -> Iterator[None]:
    """Export spans by OTLP where OpenTelemetry's own variables say where to; otherwise do nothing."""
    if not (os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")):
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  an extra
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise InvalidInput("driver_missing", f"OTLP needs an SDK: pip install 'laurels[otel]' ({error}).") from None
    os.environ.setdefault("OTEL_SERVICE_NAME", "laurels")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        ending = threading.Thread(target=provider.shutdown, name="laurels-spans", daemon=True)
        ending.start()
        ending.join(FLUSH_S)


def _of_headers(scope: Scope) -> tuple[bytes, dict[str, str]]:
    """Return what a call is known by in logs, the caller's own name for it if it has one, and where its trace began."""
    call_id, carried = b"", {}
    for name, value in scope["headers"]:
        if name == CALL_ID and _call_id_given(value):
            call_id = value
        elif name in TRACE_HEADERS:
            carried[name.decode()] = value.decode("latin-1")
    # No secret; to ask the system for one would give up the interpreter to whatever thread has work, for milliseconds.
    return call_id or b"%016x" % random.getrandbits(64), carried


def _route(scope: Scope) -> str:
    """Return the route's template; nothing where a call came to none."""
    route = scope.get("route")
    return "" if route is None else str(route.path)


def _tell(span: Span, method: str, route: str, status: int) -> None:
    """Finish a call's span."""
    if span.is_recording():
        span.update_name(f"{method} {route}" if route else method)
        span.set_attribute("http.response.status_code", status)
        if route:
            span.set_attribute("http.route", route)
        if status >= 500:  # noqa: PLR2004
            span.set_attribute("error.type", str(status))
            span.set_status(StatusCode.ERROR)


def _facts(scope: Scope, method: str, route: str, status: int, seconds: float, span: Span) -> dict[str, object]:
    """Return what a log line says of a call."""
    caller: Caller | None = scope.get("laurels.caller")
    facts: dict[str, object] = {
        "method": method,
        "route": route,
        "status": status,
        "duration_ms": round(seconds * 1e3, 2),
        "call_id": scope["laurels.call_id"],
    }
    if caller is not None:
        facts["key"] = caller.key_id or "user"
    context = span.get_span_context()
    if context.is_valid:
        facts["trace_id"] = trace.format_trace_id(context.trace_id)
    return facts
