from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from app.dependencies import owned
from app.etags import etag, if_match
from app.problems import problems
from app.repositories.task import TaskRepository
from app.responses import json
from app.routers.api import api_router
from app.schemas.task import PAGE, TASK, TaskCreate, TaskPage, TaskQuery, TaskRead, TaskUpdate

router = api_router("/tasks")

Tasks = Annotated[TaskRepository, Depends(owned(TaskRepository))]


@router.post("", status_code=201, response_model=TaskRead, responses=problems(409))
async def create_task(task: TaskCreate, tasks: Tasks, request: Request) -> Response:
    created = await tasks.create(task.model_dump())
    headers = {"Location": f"{request.scope['path']}/{created['id']}", "ETag": etag(created)}
    return json(TASK, created, 201, headers)


@router.get("", response_model=TaskPage)
async def list_tasks(query: Annotated[TaskQuery, Query()], tasks: Tasks) -> Response:
    """Return a page, newest first. `next_cursor` is the `cursor` of the next page, if any."""
    page, next_cursor = await tasks.list(query)
    return json(PAGE, {"items": page, "next_cursor": next_cursor})


@router.get("/{id}", response_model=TaskRead, responses=problems(404))
async def get_task(id: UUID, tasks: Tasks) -> Response:
    task = await tasks.get(id)
    return json(TASK, task, headers={"ETag": etag(task)})


@router.patch("/{id}", response_model=TaskRead, responses=problems(404, 409, 412))
async def update_task(id: UUID, changes: TaskUpdate, tasks: Tasks, request: Request) -> Response:
    """Change the given fields. With an ETag in `If-Match`, only if it is the current version."""
    task = await tasks.update(id, changes.model_dump(), if_match(request))
    return json(TASK, task, headers={"ETag": etag(task)})


@router.delete("/{id}", status_code=204, response_class=Response, responses=problems(404, 409, 412))
async def delete_task(id: UUID, tasks: Tasks, request: Request) -> None:
    """Delete it. With an ETag in `If-Match`, only if it is the current version."""
    await tasks.delete(id, if_match(request))
