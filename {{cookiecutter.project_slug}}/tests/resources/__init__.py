"""All resources. The tests of shared behavior run for each resource in this list."""

from tests.resources.task import TASKS

RESOURCES = (TASKS,)
