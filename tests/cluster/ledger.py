"""Who creates tasks while something happens to the cluster, and what became of those tasks."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from faults.client import TASKS, Answer, Client, numbers
from faults.load import Load
from faults.service import Service

WRITERS = 2
PAUSE = 0.05  # seconds between two requests of one writer


@dataclass
class Outcome:
    """What one fault did to those who write in one way; several add up."""

    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    unanswered: int = 0
    """Tasks that are there although no request for them was acknowledged."""
    codes: Counter[int] = field(default_factory=Counter)
    slowest: float = 0
    gaps: list[float] = field(default_factory=list)
    """For each fault, the longest time without an acknowledged write, in seconds."""
    firsts: list[float] = field(default_factory=list)
    """For each fault, the seconds from when a write was possible again to the first one."""
    recoveries: list[float] = field(default_factory=list)
    """For each fault, once writes succeed, the seconds until 50 of 50 at once do."""

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
    """Creates one task after the other, and repeats each request until it is acknowledged."""

    def __init__(self) -> None:
        self._title = ""

    def __call__(self, client: Client) -> Answer:
        self._title = self._title or f"repeated {next(numbers)}"
        key = {"Idempotency-Key": f'"{self._title}"'}
        answer = client.call("POST", TASKS, {"title": self._title}, **key)
        if answer.is_good:
            self._title = ""
        return answer


class Ledger(Load):
    """What a user who is nobody else's was answered: half of their clients repeat requests."""

    def __init__(self, service: Service, user: str) -> None:
        super().__init__()
        self.user = user
        self.service = service
        for act in (*[Client.create] * WRITERS, *(Repeating() for _ in range(WRITERS))):
            self.add(service.client(user), act, PAUSE)

    def created(self) -> list[Answer]:
        """The acknowledged requests."""
        return [answer for answer in self.answers if answer.status == 201]

    def compare(self, stored: Counter[str], possible: float, recovery: float) -> Outcome:
        """`stored` has the titles of this user that are in the database.

        Tasks could be created again from the moment `possible` on.
        """
        with self.service.client(self.user) as client:
            shown = Counter(client.titles())
        acknowledged = self.acknowledged
        ends = sorted(answer.ended for answer in self.created())
        return Outcome(
            acknowledged=len(acknowledged),
            lost=sum(title not in stored or title not in shown for title in acknowledged),
            doubled=sum(times > 1 for times in stored.values()),
            unanswered=len(stored.keys() - set(acknowledged)),
            codes=self.codes(),
            slowest=max(answer.seconds for answer in self.answers),
            gaps=[max(later - earlier for earlier, later in pairwise(ends))],
            firsts=[min(end for end in ends if end >= possible) - possible],
            recoveries=[recovery],
        )
