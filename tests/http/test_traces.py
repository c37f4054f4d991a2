"""Traces: from the call to the commit it shared to the boards, as a collector gets them over OTLP."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.http.processes import running

CALLS = 12


class Collector(ThreadingHTTPServer):
    """Takes spans over OTLP and keeps them."""

    def __init__(self):
        self.spans, self.services = [], set()
        super().__init__(("127.0.0.1", 0), Spans)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def named(self, name):
        return [span for span in self.spans if span.name == name]


class Spans(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        for of in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.server.services |= {
                each.value.string_value for each in of.resource.attributes if each.key == "service.name"
            }
            self.server.spans += [span for scope in of.scope_spans for span in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = Thread(target=collector.serve_forever)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


def attributes(span):
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def test_a_trace_goes_from_the_call_to_its_commit_and_on_to_the_boards(collector, tmp_path):
    def call(number):
        headers = {"traceparent": f"00-{number:032x}-{number:016x}-01"}
        event = {"id": f"post-{number}", "type": "post.created", "user": f"user-{number}"}
        return client.post("/v1/events", json=event, headers=headers).status_code

    with running(tmp_path, otel_exporter_otlp_endpoint=collector.url, otel_bsp_schedule_delay=100) as service:
        with service.client() as client, ThreadPoolExecutor(CALLS) as callers:
            assert set(callers.map(call, range(1, CALLS + 1))) == {200}
            assert client.get("/v1/users/nobody").status_code == 404
            assert client.get("/v1/users/nobody?query=private").status_code == 422
        service.when(lambda: sum(len(span.links) for span in collector.named("laurels.project")) > 0)
        assert service.stop() == 0
        logged = service.said
    assert collector.services == {"laurels"}

    calls = {span.trace_id.hex(): span for span in collector.named("POST /v1/events")}
    records = {span.trace_id.hex(): span for span in collector.named("laurels.record")}
    commits = {span.span_id: span for span in collector.named("laurels.commit")}
    assert len(calls) == len(records) == CALLS
    for number in range(1, CALLS + 1):
        trace_id = f"{number:032x}"
        assert calls[trace_id].parent_span_id.hex() == f"{number:016x}"
        assert records[trace_id].parent_span_id == calls[trace_id].span_id
        (link,) = records[trace_id].links
        assert calls[trace_id].span_id in {each.span_id for each in commits[link.span_id].links}
        assert f'"trace_id":"{trace_id}"' in logged
    assert sum(attributes(span)["laurels.requests.applied"] for span in commits.values()) == CALLS
    projected = {link.span_id for span in collector.named("laurels.project") for link in span.links}
    assert projected <= set(commits)

    expected = {"http.request.method": "GET", "http.route": "/v1/users/{user_id}"}
    refused = collector.named("GET /v1/users/{user_id}")
    assert [attributes(span) for span in refused] == [
        {**expected, "http.response.status_code": 404},
        {**expected, "http.response.status_code": 422},
    ]
    names = {"POST /v1/events", "GET /v1/users/{user_id}", "laurels.record", "laurels.commit", "laurels.project"}
    assert {span.name for span in collector.spans} == names
    assert [span.name for span in collector.spans if "private" in str(span) or "nobody" in str(span)] == []


def test_a_collector_that_is_away_holds_nothing_up(tmp_path):
    with running(tmp_path, otel_exporter_otlp_endpoint="http://127.0.0.1:9", otel_bsp_schedule_delay=100) as service:
        with service.client() as client:
            event = {"id": "post-1", "type": "post.created", "user": "ada"}
            assert client.post("/v1/events", json=event).status_code == 200
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < 6
