"""Clients that send a request and disconnect before the response."""

import json
import socket
import struct

from lab.faults.client import TASKS
from lab.faults.service import Service

FIN = struct.pack("ii", 0, 0)
RST = struct.pack("ii", 1, 0)
"""Values of SO_LINGER: close with FIN or RST."""


def request(token: str, body: bytes, length: int | None = None) -> bytes:
    """Return a complete POST, or one whose Content-Length exceeds its body."""
    head = (
        f"POST {TASKS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length or len(body)}\r\n\r\n"
    )
    return head.encode() + body


def hang_up(service: Service, count: int, way: bytes) -> None:
    """Have `count` clients send a request and close their connections."""
    sent = request(service.token("ann"), json.dumps({"title": "gone"}).encode())
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
            client.sendall(sent)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, way)
