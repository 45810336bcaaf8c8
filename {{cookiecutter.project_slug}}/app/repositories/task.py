from collections.abc import Sequence
from uuid import UUID

from app.models.task import Task
from app.repositories.owned import OwnedRepository, Record


class TaskRepository(OwnedRepository):
    model = Task

    async def list(
        self, limit: int, after: UUID | None, completed: bool | None
    ) -> tuple[Sequence[Record], UUID | None]:
        """Like `page`; of all tasks, or of those that are `completed` or not."""
        conditions = [] if completed is None else [Task.completed == completed]
        return await self.page(limit, after, *conditions)
