"""Faults of the primary. Each function returns the time when writes became possible again."""

import time
from threading import Thread

from lab.cluster.stage import Stage
from lab.faults.client import calling

BEHIND, CUT = 0.5, 5.0  # seconds


def kill(stage: Stage) -> float:
    """`kill -9` of PostgreSQL and its Patroni, which start again once another node has taken over.

    The replicas lag behind at that moment, as on a slow network. Without a synchronous one,
    acknowledged writes would be lost.
    """
    primary, others = stage.nodes()
    with primary.replicas_behind():
        time.sleep(BEHIND)
        primary.kill()
    try:
        possible = stage.cluster.wait_for_primary(others)
        stage.wait_until_well()
    finally:
        primary.launch()
    return possible


def switchover(stage: Stage) -> float:
    """An operator has Patroni promote another node."""
    primary, others = stage.nodes()

    def ask() -> None:
        with calling(primary.rest) as client:
            answer = client.call("POST", "/switchover", {"leader": primary.name})
        assert answer.status == 200, answer

    asking = Thread(target=ask)
    asking.start()
    possible = stage.cluster.wait_for_primary(others)
    stage.wait_until_well()
    asking.join()
    return possible


def freeze(stage: Stage) -> float:
    """PostgreSQL and its Patroni hang longer than `ttl`, and continue after another has taken over.

    For a moment, the old primary still considers itself the primary.
    """
    primary, others = stage.nodes()
    with primary.frozen():
        possible = stage.cluster.wait_for_primary(others)
        stage.wait_until_well()
    return possible


def cut(stage: Stage) -> float:
    """The services cannot reach the primary for some seconds; the cluster itself is healthy."""
    primary, _ = stage.nodes()
    with stage.relays[primary.name].cut():
        time.sleep(CUT)
    return time.monotonic()


FAULTS = {each.__name__: each for each in (kill, switchover, freeze, cut)}
