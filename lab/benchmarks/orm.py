"""The same API as most templates write it: SQLAlchemy's ORM, a session and a commit per request.

The commit comes where FastAPI puts it by default: after the response has been sent.
"""

import os
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated
from uuid import UUID

import jwt
from bearer import subject
from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from app.models.task import Task

# As many connections as the limit has on PostgreSQL.
engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=10, max_overflow=0)
sessions = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


class TaskCreate(BaseModel):
    title: str = Field(min_length=1, max_length=200)
    description: str | None = Field(None, max_length=10_000)
    completed: bool = False


class TaskUpdate(BaseModel):
    title: str | None = Field(None, min_length=1, max_length=200)
    description: str | None = Field(None, max_length=10_000)
    completed: bool | None = None


class TaskRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    title: str
    description: str | None
    completed: bool
    version: int
    created_at: datetime
    updated_at: datetime


class TaskPage(BaseModel):
    items: list[TaskRead]
    next_cursor: UUID | None


async def get_session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session
        await session.commit()


async def current_user(
    credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())],
) -> str:
    try:
        return subject(credentials.credentials)
    except jwt.PyJWTError:
        raise HTTPException(401, "Could not validate credentials") from None


Session = Annotated[AsyncSession, Depends(get_session)]
CurrentUser = Annotated[str, Depends(current_user)]


async def find(session: AsyncSession, id: UUID, user: str) -> Task:
    task = await session.scalar(select(Task).where(Task.id == id, Task.owner_id == user))
    if task is None:
        raise HTTPException(404, "Task not found")
    return task


@app.get("/api/v1/tasks", response_model=TaskPage)
async def list_tasks(
    session: Session, user: CurrentUser, limit: int = 20, cursor: UUID | None = None
) -> dict[str, object]:
    statement = select(Task).where(Task.owner_id == user)
    if cursor:
        statement = statement.where(Task.id < cursor)
    found = await session.scalars(statement.order_by(Task.id.desc()).limit(limit + 1))
    tasks = found.all()
    following = tasks[limit - 1].id if len(tasks) > limit else None
    return {"items": tasks[:limit], "next_cursor": following}


@app.post("/api/v1/tasks", response_model=TaskRead, status_code=201)
async def create_task(data: TaskCreate, session: Session, user: CurrentUser) -> Task:
    task = Task(**data.model_dump(), owner_id=user)
    session.add(task)
    await session.flush()
    return task


@app.get("/api/v1/tasks/{id}", response_model=TaskRead)
async def get_task(id: UUID, session: Session, user: CurrentUser) -> Task:
    return await find(session, id, user)


@app.patch("/api/v1/tasks/{id}", response_model=TaskRead)
async def change_task(id: UUID, data: TaskUpdate, session: Session, user: CurrentUser) -> Task:
    task = await find(session, id, user)
    for name, value in data.model_dump(exclude_unset=True).items():
        setattr(task, name, value)
    task.version += 1
    await session.flush()
    return task


@app.delete("/api/v1/tasks/{id}", status_code=204, response_class=Response)
async def delete_task(id: UUID, session: Session, user: CurrentUser) -> None:
    await session.delete(await find(session, id, user))
