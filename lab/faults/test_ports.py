"""The ports of servers that tests start."""

import pytest

from lab.servers import _own_ports, free_ports


def test_parallel_workers_get_different_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    given = []
    for worker in ("gw0", "gw1"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        _own_ports.cache_clear()
        given += free_ports(200)
    _own_ports.cache_clear()

    assert len({*given}) == 400


def test_a_port_is_not_given_again_soon() -> None:
    given = [port for _ in range(200) for port in free_ports(1)]

    assert len({*given}) == 200
