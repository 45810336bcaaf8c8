from app.repositories.task import TaskRepository
from tests.resources.resource import Resource

TASKS = Resource(
    TaskRepository,
    "/api/v1/tasks",
    accepted={
        "title": ["Buy milk", "x" * 200, "買牛奶 🥛", "' OR 1=1 --", "<b>", "e\u0301"],
        "description": [None, "2 l", "\t\r\n" + "x" * 9_997],
        "completed": [False, True],
    },
    rejected={
        "title": ["", " \n", None, 1, "x" * 201, "a\x00b"],
        "description": [1, "a\x00b", "x" * 10_001],
        "completed": [None, "true"],
    },
)
