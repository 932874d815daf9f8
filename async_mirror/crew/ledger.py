"""What a crew has taken and not yet ended: attempts, excuses, deaths, endings. Pure: no loop, no clock."""

from dataclasses import dataclass
from typing import Generic

from async_mirror.crew.patience import Patience
from async_mirror.crew.work import Finished, I, Performed, R

DEATHS = 3
"""How often what works on an item may die before the item is given up."""
EXCUSES = 3
"""How often an attempt at an item may be none of the item's and not count."""


@dataclass(eq=False, slots=True)
class Ticket(Generic[I, R]):
    """An item on its way: how often it was tried, and the result of the attempt before."""

    item: I
    attempt: int = 0
    previous: R | None = None
    deaths: int = 0
    death: str = ""
    excuses: int = 0


class Ledger(Generic[I, R]):
    """Every item that is entered ends exactly once."""

    def __init__(self, patience: Patience) -> None:
        """Begin with no item."""
        self.patience = patience
        self.outstanding = 0
        self.items = 0
        self._finished: list[Finished[I, R]] = []

    def enter(self, item: I) -> Ticket[I, R]:
        """Take an item, and return its ticket."""
        self.outstanding += 1
        return Ticket(item)

    def after(self, ticket: Ticket[I, R], performed: Performed[R], *, excused: bool, last: bool) -> float | None:
        """Take the result of an attempt; return the seconds before the next one, or None: the item has ended.

        An `excused` attempt does not count, unless that happens again and again; after the `last` there is no other.
        """
        ticket.previous = performed.result
        ticket.death = ""
        if performed.again:
            if excused and ticket.excuses < EXCUSES:
                ticket.excuses += 1
                return 0.0
            ticket.attempt += 1
            if not last and ticket.attempt <= self.patience.retries:
                return self.patience.pause(ticket.attempt)
        self.end(ticket, performed.result)
        return None

    def died(self, ticket: Ticket[I, R], what: str, lost: R | None) -> bool:
        """Note that what worked on an item died; tell whether another lane may try, or it seems to be what kills them.

        `lost` stands for the result of the attempt without a result.
        """
        ticket.deaths += 1
        ticket.death = what
        ticket.previous = lost
        if ticket.deaths < DEATHS:
            return True
        self.end(ticket, lost, f"{what}, {DEATHS} times")
        return False

    def give_up(self, ticket: Ticket[I, R]) -> None:
        """End an item that is not tried again. What an attempt without a result did is not known."""
        self.end(ticket, ticket.previous, ticket.death)

    def end(self, ticket: Ticket[I, R], result: R | None, error: str = "") -> None:
        """End an item for good."""
        self.items += 1
        self.outstanding -= 1
        self._finished.append(Finished(ticket.item, result, error))

    def finished(self) -> list[Finished[I, R]]:
        """Return what has ended since this was last asked."""
        finished, self._finished = self._finished, []
        return finished
