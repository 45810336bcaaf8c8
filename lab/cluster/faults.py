"""Faults of the primary. Each function returns the time when writes became possible again."""

import time
from threading import Thread

from lab.cluster.deployment import Deployment
from lab.faults.client import open_client

BEHIND, CUT = 0.5, 5.0  # seconds


def kill(deployment: Deployment) -> float:
    """`kill -9` of PostgreSQL and its Patroni, which start again once another node has taken over.

    The replicas lag behind at that moment, as on a slow network. Without a synchronous one,
    acknowledged writes would be lost.
    """
    primary, others = deployment.nodes()
    with primary.replicas_behind():
        time.sleep(BEHIND)
        primary.kill()
    try:
        possible = deployment.cluster.wait_for_primary(others)
        deployment.wait_until_healthy()
    finally:
        primary.launch()
    return possible


def switchover(deployment: Deployment) -> float:
    """An operator has Patroni promote another node."""
    primary, others = deployment.nodes()

    def ask() -> None:
        with open_client(primary.rest) as client:
            answer = client.call("POST", "/switchover", {"leader": primary.name})
        assert answer.status == 200, answer

    asking = Thread(target=ask)
    asking.start()
    possible = deployment.cluster.wait_for_primary(others)
    deployment.wait_until_healthy()
    asking.join()
    return possible


def freeze(deployment: Deployment) -> float:
    """PostgreSQL and its Patroni hang longer than `ttl`, and continue after another has taken over.

    For a moment, the old primary still considers itself the primary.
    """
    primary, others = deployment.nodes()
    with primary.frozen():
        possible = deployment.cluster.wait_for_primary(others)
        deployment.wait_until_healthy()
    return possible


def cut(deployment: Deployment) -> float:
    """The services cannot reach the primary for some seconds; the cluster itself is healthy."""
    primary, _ = deployment.nodes()
    with deployment.relays[primary.name].cut():
        time.sleep(CUT)
    return time.monotonic()


FAULTS = {each.__name__: each for each in (kill, switchover, freeze, cut)}
