"""What happens to the primary. Each fault returns when a write became possible again."""

import time
from threading import Thread

from faults.client import calling

from cluster.stage import Stage

BEHIND, CUT = 0.5, 5.0  # seconds


def kill(stage: Stage) -> float:
    """`kill -9` of PostgreSQL and its Patroni, which start again once another node has taken over.

    The standbys are behind when it happens, as on a slow network. Without a synchronous one, that
    loses what was acknowledged.
    """
    primary, others = stage.nodes()
    with primary.standbys_behind():
        time.sleep(BEHIND)
        primary.kill()
    try:
        possible = stage.cluster.wait_for_primary(others)
        stage.wait_until_well()
    finally:
        primary.launch()
    return possible


def switchover(stage: Stage) -> float:
    """An operator has another node take over."""
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
    """PostgreSQL and its Patroni hang past the time to live, and go on when another has taken over.

    They believe for a moment that nothing has happened.
    """
    primary, others = stage.nodes()
    with primary.frozen():
        possible = stage.cluster.wait_for_primary(others)
        stage.wait_until_well()
    return possible


def cut(stage: Stage) -> float:
    """The service's side does not reach the primary for some seconds; the cluster is well."""
    primary, _ = stage.nodes()
    with stage.relays[primary.name].cut():
        time.sleep(CUT)
    return time.monotonic()


FAULTS = {each.__name__: each for each in (kill, switchover, freeze, cut)}
