"""Clients that ask and do not stay for the answer."""

import json
import socket
import struct

from lab.faults.client import TASKS
from lab.faults.service import Service

FIN = struct.pack("ii", 0, 0)
RST = struct.pack("ii", 1, 0)
"""What SO_LINGER makes of closing: an orderly end, or a reset."""


def request(token: str, body: bytes, length: int | None = None) -> bytes:
    """A whole POST, or one that promises more than it holds."""
    head = (
        f"POST {TASKS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length or len(body)}\r\n\r\n"
    )
    return head.encode() + body


def hang_up(service: Service, count: int, way: bytes) -> None:
    """So many clients that each send a request, and close their connection."""
    sent = request(service.token("ann"), json.dumps({"title": "gone"}).encode())
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
            client.sendall(sent)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, way)
