"""A cluster loses its primary while services write: nothing acknowledged is lost or doubled."""

import pytest
from faults.conftest import Figures

from cluster.faults import FAULTS
from cluster.stage import Stage


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_acknowledged_is_lost(stage: Stage, fault: str, figures: Figures) -> None:
    outcomes = stage.play(FAULTS[fault])

    for way, outcome in outcomes.items():
        figures(**{way: outcome})
    for outcome in outcomes.values():
        assert (outcome.lost, outcome.doubled) == (0, 0)
        assert outcome.codes.keys() <= {201, 503}
        assert outcome.slowest < 5
