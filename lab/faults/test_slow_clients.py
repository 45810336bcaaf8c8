"""Slow clients are disconnected in time, and do not affect others."""

import re
import select
import socket
import statistics
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

from lab.faults.client import LIVE, TASKS, codes, slowest
from lab.faults.conftest import FULL, Figures, Serve, on_sqlite
from lab.faults.disconnect import request
from lab.faults.load import load
from lab.faults.processes import open_files, resident_bytes
from lab.faults.service import Service
from lab.faults.slow_clients import SlowClients, enough_files

GET = f"GET {LIVE} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
SLOWEST = 3.0  # seconds, on a busy machine
LIMIT = 256 << 20  # bytes: 50 responses of 1 MB wait to be read, and more are being made

pytestmark = on_sqlite


def lines_about_closing(service: Service) -> Counter[str]:
    """The number of closed connections by reason, according to the log."""
    counts: Counter[str] = Counter()
    pattern = r'"reason":"([^"]+)","count":(\d+),[^\n]*"event":"connections closed"'
    for reason, count in re.findall(pattern, service.log.read_text()):
        counts[reason] += int(count)
    return counts


def test_good_client_is_served_beside_slow_ones_until_they_are_disconnected(
    serve: Serve, figures: Figures
) -> None:
    service = serve()
    with service.client("bob") as bob:
        for _ in range(100):
            bob.create(description="x" * 10_000)
        page = f"GET {TASKS}?limit=100 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
        unread = f"{page}{service.token('bob')}\r\n\r\n".encode()
    before = most = resident_bytes(service.pid), open_files(service.pid)
    slow = SlowClients(service.port, 2_000, trickling=300, not_reading=50, unread=unread)

    with load(service, writers=1, readers=0, probes=True).running() as good:
        good.wait_for(20)
        with slow.running():
            good.answers.clear()
            started = time.monotonic()
            # Clients that never read are disconnected 20 s later. Only the full run waits for that.
            while slow.count() > (0 if FULL else 50):
                assert time.monotonic() < started + 35, slow.gone_after
                now = resident_bytes(service.pid), open_files(service.pid)
                most = max(most[0], now[0]), max(most[1], now[1])
                time.sleep(0.25)
            answers = list(good.answers)

    writes = [answer.seconds for answer in answers if answer.call.startswith("POST")]
    reasons = lines_about_closing(service)
    figures(
        median=f"{statistics.median(writes) * 1000:.1f} ms",
        worst=f"{max(writes) * 1000:.0f} ms",
        worst_probe=f"{slowest(good.of(LIVE)) * 1000:.0f} ms",
        memory=f"{most[0] - before[0] >> 20} MiB",
        descriptors=most[1] - before[1],
        **{f"{kind} gone after": seconds for kind, seconds in slow.gone_after.items()},
        lines=len(re.findall("connections closed", service.log.read_text())),
    )
    assert codes(answers) <= {200, 201}
    assert max(answer.seconds for answer in answers) < SLOWEST
    assert most[0] - before[0] < LIMIT
    assert open_files(service.pid) < before[1] + 10
    assert reasons["the request head was not complete in time"] == 2_300
    assert reasons["the client does not read"] == (50 if FULL else 0)


def test_good_client_is_served_with_a_low_limit_of_open_files(
    serve: Serve, figures: Figures
) -> None:
    service = serve(files=1_024)
    slow = SlowClients(service.port, 2_000)

    with load(service, writers=1, readers=0, probes=True).running() as good:
        good.wait_for(20)
        with slow.running():
            good.wait_for(40)
            held = open_files(service.pid)

    figures(descriptors=held, worst=f"{slowest(good.answers) * 1000:.0f} ms")
    assert good.codes().keys() <= {200, 201}
    assert slowest(good.answers) < SLOWEST
    assert held < 1_024
    assert lines_about_closing(service)["too many connections"] >= 1_000


def test_client_that_trickles_a_body_after_the_503_is_disconnected(
    serve: Serve, figures: Figures
) -> None:
    service = serve(REQUEST_TIMEOUT_SECONDS="1")
    head = request(service.token("ann"), b"", length=100)
    chunked = head.replace(b"Content-Length: 100", b"Transfer-Encoding: chunked")

    with ThreadPoolExecutor() as pool:
        plain = pool.submit(trickled, service, head, b" ")
        by_h11 = pool.submit(trickled, service, chunked, b"1\r\n \r\n")

    for received, seconds in (plain.result(), by_h11.result()):
        assert received.startswith(b"HTTP/1.1 503")
        assert seconds < 9
    figures(closed_after=plain.result()[1], closed_after_by_h11=by_h11.result()[1])


def trickled(service: Service, head: bytes, more: bytes) -> tuple[bytes, float]:
    """Return what the service sends, and the seconds until it closes the connection."""
    received, started = b"", time.monotonic()
    with socket.create_connection(("127.0.0.1", service.port), 10) as client:
        client.sendall(head)
        with suppress(ConnectionError):
            while time.monotonic() < started + 20:
                client.sendall(more)
                if select.select([client], [], [], 0.2)[0]:
                    received += client.recv(65536)
    return received, time.monotonic() - started


def test_shutdown_does_not_wait_for_idle_connections(serve: Serve, figures: Figures) -> None:
    service = serve(DRAIN_SECONDS="0.5")
    with ExitStack() as clients, enough_files():
        for number in range(500):
            client = socket.create_connection(("127.0.0.1", service.port), timeout=10)
            clients.enter_context(client).sendall(GET if number % 2 else b"")
            if number % 2:
                assert client.recv(65536)
        service.terminate()
        code, seconds = service.ended(within=5)

    figures(exit_code=code, ended_after=seconds)
    assert code == 0


def test_requests_on_idle_connections_succeed_until_they_are_closed(
    serve: Serve, figures: Figures
) -> None:
    """As with a load balancer whose idle timeout is shorter than the service's, or equal to it."""
    keep_alive = 1
    service = serve(KEEP_ALIVE_SECONDS=str(keep_alive))
    body = request(service.token("ann"), b'{"title": "late"}')
    waiting = []
    with ExitStack() as stack:
        for number in range(200):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", service.port), 10))
            assert outcome(client, GET) == "response"
            # Half are in time. The others arrive when the service may be closing connections.
            after = 0.6 if number % 2 else keep_alive + number / 125
            waiting.append((time.monotonic() + after, time.monotonic(), client))
        outcomes = {True: Counter[str](), False: Counter[str]()}
        for moment, since, client in sorted(waiting, key=lambda each: each[0]):
            time.sleep(max(0.0, moment - time.monotonic()))
            is_in_time = time.monotonic() - since < keep_alive - 0.1
            outcomes[is_in_time][outcome(client, body)] += 1

    figures(in_time=dict(outcomes[True]), at_the_limit=dict(outcomes[False]))
    assert outcomes[True].keys() <= {"response"}
    assert outcomes[False]["no response"] <= 2


def outcome(client: socket.socket, sent: bytes) -> str:
    if select.select([client], [], [], 0)[0]:
        return "closed before"
    received = b""
    try:
        client.sendall(sent)
        while not received.endswith(b"}"):
            if not (chunk := client.recv(65536)):
                return "no response"
            received += chunk
    except ConnectionError:
        return "no response"
    return "response"
