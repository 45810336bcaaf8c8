"""A cluster loses its primary while services write: no acknowledged task is lost or duplicated.

All tests share one cluster, and each waits until it has two replicas again.
"""

import pytest

from lab.cluster.deployment import Deployment
from lab.cluster.faults import FAULTS
from lab.faults.conftest import Figures

LONGEST = 5  # seconds: of a response, and from a new primary to the first write on it
RECOVERY = 10  # seconds: more than on an idle machine, because the whole cluster runs on this one


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_loses_or_duplicates_no_acknowledged_write(
    deployment: Deployment, fault: str, figures: Figures
) -> None:
    outcomes = deployment.inject(FAULTS[fault])

    for way, outcome in outcomes.items():
        figures(**{
            way: f"acknowledged {outcome.acknowledged}, lost {len(outcome.lost)}, "
            f"doubled {len(outcome.doubled)}, codes {dict(outcome.codes)}, "
            f"slowest {outcome.slowest:.1f} s, outage {outcome.gaps[0]:.1f} s, "
            f"first write {outcome.firsts[0]:.1f} s"
        })  # fmt: skip
    for way, outcome in outcomes.items():
        assert (outcome.lost, outcome.doubled) == ([], []), way
        assert outcome.codes.keys() <= {201, 409, 503}, way
        assert outcome.slowest < LONGEST, way
        assert outcome.firsts[0] < LONGEST, way
        # No connection to a server that is now a replica is used again.
        assert outcome.recoveries[0] < RECOVERY, way
    assert deployment.tracebacks() == 0
