"""Create tasks during a fault of the cluster, and find out what became of them."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from lab.faults.client import TASKS, Client, Response, numbers
from lab.faults.load import Load
from lab.faults.service import Service

WRITERS = 2
PAUSE = 0.05  # seconds between two requests of one writer


@dataclass
class Outcome:
    """What a fault did to the writers of one way. Outcomes can be added."""

    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    """The titles of acknowledged tasks that are missing."""
    doubled: list[str] = field(default_factory=list)
    unanswered: int = 0
    """Tasks that exist although no request for them was acknowledged."""
    codes: Counter[int] = field(default_factory=Counter)
    slowest: float = 0
    gaps: list[float] = field(default_factory=list)
    """For each fault, the longest time without an acknowledged write, in seconds."""
    firsts: list[float] = field(default_factory=list)
    """For each fault, the seconds from when writes were possible again to the first one."""
    recoveries: list[float] = field(default_factory=list)
    """For each fault, the seconds from the first write until 50 of 50 concurrent ones succeed."""

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            self.acknowledged + other.acknowledged,
            self.lost + other.lost,
            self.doubled + other.doubled,
            self.unanswered + other.unanswered,
            self.codes + other.codes,
            max(self.slowest, other.slowest),
            self.gaps + other.gaps,
            self.firsts + other.firsts,
            self.recoveries + other.recoveries,
        )


class Repeating:
    """Creates tasks one after another, and repeats each request until it is acknowledged."""

    def __init__(self) -> None:
        self._title = ""

    def __call__(self, client: Client) -> Response:
        self._title = self._title or f"repeated {next(numbers)}"
        key = {"Idempotency-Key": f'"{self._title}"'}
        answer = client.call("POST", TASKS, {"title": self._title}, **key)
        if answer.is_success:
            self._title = ""
        return answer


class Ledger(Load):
    """The responses to a user of its own, half of whose clients repeat requests."""

    def __init__(self, service: Service, user: str) -> None:
        super().__init__()
        self.user = user
        self.service = service
        for act in (*[Client.create] * WRITERS, *(Repeating() for _ in range(WRITERS))):
            self.add(service.client(user), act, PAUSE)

    def created(self) -> list[Response]:
        """The acknowledged requests."""
        return [answer for answer in self.answers if answer.status == 201]

    def compare(self, stored: Counter[str], possible: float, recovery: float) -> Outcome:
        """`stored` has the titles of this user's tasks in the database.

        `possible` is the time when tasks could be created again.
        """
        with self.service.client(self.user) as client:
            shown = Counter(client.titles())
        acknowledged = self.acknowledged
        ends = sorted(answer.ended for answer in self.created())
        return Outcome(
            acknowledged=len(acknowledged),
            lost=[title for title in acknowledged if title not in stored or title not in shown],
            doubled=[title for title, times in stored.items() if times > 1],
            unanswered=len(stored.keys() - set(acknowledged)),
            codes=self.codes(),
            slowest=max(answer.seconds for answer in self.answers),
            gaps=[max(later - earlier for earlier, later in pairwise(ends))],
            firsts=[min(end for end in ends if end >= possible) - possible],
            recoveries=[recovery],
        )
