"""All resources. The tests that hold for every resource try each one listed here."""

from tests.resources.task import TASKS

RESOURCES = (TASKS,)
