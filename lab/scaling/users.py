"""Concurrent users with their own tasks, who check what the service returns."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from lab.faults.client import TASKS, Client, Response

Task = dict[str, Any]
SignIn = Callable[[str], AbstractContextManager[Client]]


class User:
    """Creates, reads, changes and deletes tasks, and tries the same with tasks of others."""

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self.client = client
        self.keeps_connection = True
        self.tasks: dict[str, Task] = {}
        """Acknowledged tasks, by id."""
        self.answers: list[Response] = []
        self.surprises: list[Any] = []
        """Unexpected responses."""

    def do_something(self, others: Sequence["User"]) -> None:
        mine, foreign = list(self.tasks), [id for other in others for id in list(other.tasks)]
        acts: list[Callable[[], object]] = [self._create, self._create, self._list]
        if mine:
            acts += [lambda act=act: act(random.choice(mine)) for act in self._with_my_own]
        if foreign:
            acts.append(lambda: self._intrude(random.choice(foreign)))
        random.choice(acts)()

    def all_tasks(self) -> list[Task]:
        """Return all tasks from the service, page by page."""
        found: list[Task] = []
        cursor = ""
        while True:
            page = self.client.get(f"{TASKS}?limit=100{cursor}").json()
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    @property
    def _with_my_own(self) -> list[Callable[[str], object]]:
        return [self._get, self._change, self._delete]

    def _call(self, expected: int, method: str, path: str, body: Any = None) -> Response:
        answer = self.client.call(method, path, body)
        if not self.keeps_connection:
            self.client.close()
        self.answers.append(answer)
        self._expect(answer.status == expected, answer)
        return answer

    def _expect(self, holds: bool, found: Any) -> None:
        if not holds:
            self.surprises.append(found)

    def _create(self) -> None:
        body = {"title": f"{self.name} {random.random()}"}
        answer = self._call(201, "POST", TASKS, body)
        if answer.status == 201:
            task = answer.json()
            self.tasks[task["id"]] = task

    def _get(self, id: str) -> None:
        answer = self._call(200, "GET", f"{TASKS}/{id}")
        self._expect(answer.is_success and answer.json() == self.tasks[id], answer)

    def _change(self, id: str) -> None:
        answer = self._call(200, "PATCH", f"{TASKS}/{id}", {"completed": random.random() < 0.5})
        if answer.is_success:
            task = answer.json()
            self._expect(task["version"] == self.tasks[id]["version"] + 1, answer)
            self.tasks[id] = task

    def _delete(self, id: str) -> None:
        if self._call(204, "DELETE", f"{TASKS}/{id}").is_success:
            del self.tasks[id]

    def _list(self) -> None:
        answer = self._call(200, "GET", f"{TASKS}?limit=10")
        newest = sorted(self.tasks, reverse=True)[:10]
        self._expect(
            answer.is_success and answer.json()["items"] == [self.tasks[id] for id in newest],
            answer,
        )

    def _intrude(self, id: str) -> None:
        method = random.choice(["GET", "PATCH", "DELETE"])
        body = {"title": "mine now"} if method == "PATCH" else None
        self._call(404, method, f"{TASKS}/{id}", body)


@contextmanager
def using(users: Sequence[User]) -> Iterator[None]:
    """Run all users concurrently until the block ends."""
    over = threading.Event()

    def go_on(user: User) -> None:
        others = [other for other in users if other is not user]
        while not over.is_set():
            user.do_something(others)
            over.wait(0.01)  # the machine runs other tests, too

    threads = [threading.Thread(target=go_on, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
