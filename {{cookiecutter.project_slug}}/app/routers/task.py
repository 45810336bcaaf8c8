from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from app.dependencies import IfMatch, owned
from app.errors import problems
from app.repositories.owned import Record
from app.repositories.task import TaskRepository
from app.schemas.task import TaskCreate, TaskPage, TaskRead, TaskUpdate

router = APIRouter(prefix="/tasks", tags=["tasks"])

Tasks = Annotated[TaskRepository, Depends(owned(TaskRepository))]


@router.post("", status_code=201, response_model=TaskRead)
async def create_task(
    task: TaskCreate, tasks: Tasks, request: Request, response: Response
) -> Record:
    created = await tasks.create(task.model_dump())
    response.headers["Location"] = f"{request.url.path}/{created.id}"
    return _tagged(response, created)


@router.get("", response_model=TaskPage)
async def list_tasks(
    tasks: Tasks,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[UUID | None, Query(description="The `next_cursor` of a page")] = None,
    completed: bool | None = None,
) -> Mapping[str, Any]:
    """Newest first. `next_cursor` continues after this page; null means there is no more."""
    items, next_cursor = await tasks.list(limit, cursor, completed)
    return {"items": items, "next_cursor": next_cursor}


@router.get("/{id}", response_model=TaskRead, responses=problems(404))
async def get_task(id: UUID, tasks: Tasks, response: Response) -> Record:
    return _tagged(response, await tasks.get(id))


@router.patch("/{id}", response_model=TaskRead, responses=problems(404, 412))
async def update_task(
    id: UUID, changes: TaskUpdate, tasks: Tasks, response: Response, if_match: IfMatch
) -> Record:
    """Change what is named; with the ETag in `If-Match`, only if it is still that version."""
    return _tagged(response, await tasks.update(id, changes.model_dump(), if_match))


@router.delete("/{id}", status_code=204, response_class=Response, responses=problems(404, 412))
async def delete_task(id: UUID, tasks: Tasks, if_match: IfMatch) -> None:
    """With the ETag in `If-Match`, only if it is still that version."""
    await tasks.delete(id, if_match)


def _tagged(response: Response, record: Record) -> Record:
    response.headers["ETag"] = f'"{record.version}"'
    return record
