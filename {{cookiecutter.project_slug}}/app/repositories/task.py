from uuid import UUID

from app.models.task import Task
from app.repositories.owned import OwnedRepository
from app.schemas.task import TaskRead


class TaskRepository(OwnedRepository[TaskRead]):
    model = Task

    # Keep this method last: in annotations below it, `list` would mean the method.
    async def list(
        self, limit: int, after: UUID | None, completed: bool | None
    ) -> tuple[list[TaskRead], UUID | None]:
        """Like `page`; of all tasks, or of those that are `completed` or not."""
        return await self.page(limit, after, {} if completed is None else {"completed": completed})
