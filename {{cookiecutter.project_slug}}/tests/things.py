"""The resource by which what holds for all of them is tested: tasks. Any other would do."""

from app.models import Task as Thing
from app.repositories.task import TaskRepository as Repository
from app.schemas.task import TaskQuery as Query
from tests.test_tasks import TASKS as THINGS
from tests.test_tasks import create as create

__all__ = ["FLAG", "THINGS", "VALUES", "Query", "Repository", "Thing", "create"]

FLAG = {"completed": True}  # a field of it, and what its list can be asked for
VALUES = {"title": "x"}  # enough to create one
