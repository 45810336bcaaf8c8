from app.models.task import Task
from app.repositories.filters import Filter
from app.repositories.owned import OwnedRepository
from app.schemas.task import TaskQuery, TaskRead


class TaskRepository(OwnedRepository[TaskRead, TaskQuery]):
    model = Task
    filters = (Filter("completed", Task.completed, unindexed="only two values"),)
