from uuid import UUID

from app.database import Record
from app.models.task import Task
from app.repositories.owned import OwnedRepository


class TaskRepository(OwnedRepository):
    model = Task

    async def list(
        self, limit: int, after: UUID | None, completed: bool | None
    ) -> tuple[list[Record], UUID | None]:
        """Like `page`; of all tasks, or of those that are `completed` or not."""
        return await self.page(limit, after, {} if completed is None else {"completed": completed})
