"""With OpenTelemetry's environment variables, the service exports traces and metrics."""

import gzip
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from app.config import Settings
from tests.database import locked_database
from tests.issuer import Issuer
from tests.sample_resource import BODY, PATH, TEXT, Model
from tests.test_lifecycle import running
from tests.tokens import token

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("service")]


class Receiver:
    """An OTLP receiver that records spans and metrics."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[bytes] = []
        self.spans: list[Span] = []
        self.metrics: set[str] = set()

    def receive(self, path: str, body: bytes) -> None:
        self.bodies.append(body)
        if path == "/v1/traces":
            for traced in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.spans += [span for scope in traced.scope_spans for span in scope.spans]
        if path == "/v1/metrics":
            for measured in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                scopes = measured.scope_metrics
                self.metrics |= {each.name for scope in scopes for each in scope.metrics}

    def attributes(self, name: str) -> dict[str, str | int]:
        """Return the attributes of the last span with this name."""
        [*_, span] = [span for span in self.spans if span.name == name]
        return {
            each.key: each.value.string_value or each.value.int_value for each in span.attributes
        }


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            compressed = self.headers.get("Content-Encoding") == "gzip"
            receiver.receive(self.path, gzip.decompress(body) if compressed else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Do not log requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield receiver
        server.shutdown()


def test_traces_have_requests_and_statements_but_no_secrets(
    settings: Settings,
    issuer: Issuer,
    database_url: str,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    bearer = token(issuer, sub="ann")
    headers = {"Authorization": f"Bearer {bearer}", "X-Request-ID": "trace-1"}

    short = {"drain_seconds": 0, "database_statement_timeout_seconds": 0.2}
    with running(settings, **short) as process:
        process.wait_for("/health/ready", 200)
        leaking = f"{PATH}?token={bearer}"
        created = process.client.post(leaking, json=BODY | {TEXT: "MARKER"}, headers=headers)
        with locked_database(database_url):
            process.client.post(PATH, json=BODY, headers=headers)
        process.stop()
        code, _ = process.end()

    assert (created.status_code, code) == (201, 0)
    request = receiver.attributes(f"POST {PATH}")
    assert request["http.route"] == PATH
    assert request["request.id"] == "trace-1"
    assert f"INSERT INTO {Model.__tablename__}" in str(
        receiver.attributes("INSERT")["db.query.text"]
    )
    assert receiver.attributes("INSERT")["error.type"]
    assert any(span.parent_span_id for span in receiver.spans if span.name == "INSERT")
    assert "http.server.request.duration" in receiver.metrics
    for body in receiver.bodies:
        for secret in (bearer, "MARKER", *map(str, issuer.settings.values())):
            assert secret.encode() not in body
