"""Shares the sessions of one account among the crews that want some. Starts nothing; the clock is handed in."""

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Literal

from async_mirror.crew.cap import Cap

SLICE_S = 10.0
"""How long a crew keeps its only session when others wait and there are not enough for all."""


class Broker:
    """One lender for each key, whatever a key is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Lend nothing yet."""
        self._clock = clock
        self._lenders: dict[Hashable, _Lender] = {}

    def share(self, key: Hashable, cap: Cap) -> "Share":
        """Return a crew's share of what may be had under a key; `cap` is what it would do alone."""
        return Share(self._lenders.setdefault(key, _Lender(self._clock)), cap)


class Share:
    """What one crew may have: its cap, and its permits. Nobody else's are more than the cap allows all together."""

    def __init__(self, lender: "_Lender", own: Cap) -> None:
        """Have nothing yet."""
        self.own = own
        self.lent = self.waiting = 0
        self.beside = 0
        """How many permits others had when there were too many."""
        self.since = 0.0
        self.is_short = False
        self.sample: tuple[float, int, int, int, bool] | None = None
        self._lender = lender

    @property
    def lanes(self) -> int:
        """How many lanes are right now; 0 when the only one is to make room for others."""
        return self._lender.lanes(self)

    @property
    def most(self) -> int:
        """More than this it never is."""
        return self.own.most

    @property
    def is_wanted(self) -> bool:
        """True while anybody waits for a permit."""
        return self._lender.is_asked

    @property
    def lent_to_others(self) -> int:
        """How many permits others have at the moment."""
        return self._lender.lent - self.lent

    def lower(self, lanes: int) -> None:
        """More than so many sessions cannot be had here, beside those of the others."""
        self.beside = self.lent_to_others
        self._lender.lower(self.beside + lanes)

    def measured(self, seconds: float, items: int, amount: int, lanes: int, *, busy: bool) -> None:
        """Learn what so many lanes brought, together with those of the others."""
        self.is_short = busy and self.lent < self.own.most
        self.sample = seconds, items, amount, lanes, busy
        self._lender.measure()

    async def acquire(self) -> Literal[True]:
        """Wait for a permit."""
        ready = asyncio.get_running_loop().create_future()

        def lend() -> None:
            ready.set_result(None)

        self._lender.ask(self, lend)
        try:
            await ready
        except asyncio.CancelledError:
            if ready.cancelled():
                self._lender.withdraw(self, lend)
            else:
                self.release()
            raise
        return True

    def release(self) -> None:
        """Give a permit back."""
        self._lender.give_back(self)

    def park(self, make_room: Callable[[], None]) -> "Parked":
        """Leave a permit with an unused session; `make_room` is called when another crew waits for one."""
        return Parked(self, self._lender, make_room)


class Parked:
    """The permit of an unused session."""

    def __init__(self, share: Share, lender: "_Lender", make_room: Callable[[], None]) -> None:
        """Take it from a share."""
        self.make_room = make_room
        self._lender = lender
        lender.parked.append(self)
        share.release()

    def become(self, share: Share) -> None:
        """Give it to a share, in place of one that is asked for."""
        self._lender.parked.remove(self)
        self._lender.join(share)

    def release(self) -> None:
        """Give it back."""
        self._lender.parked.remove(self)
        self._lender.lend()


class _Lender:
    """Lends to those that ask, first to those that have least."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._members: list[Share] = []
        self._asked: list[tuple[Share, Callable[[], None]]] = []
        self._cap: Cap | None = None
        self._lowered: int | None = None
        self.parked: list[Parked] = []

    @property
    def lent(self) -> int:
        return sum(member.lent for member in self._members) + len(self.parked)

    @property
    def is_asked(self) -> bool:
        return bool(self._asked)

    def lanes(self, member: Share) -> int:
        cap = self._cap or member.own
        if self._yields(member):
            return member.lent - 1
        lent, are_others_short = 0, False
        for each in self._members:
            lent += each.lent
            if each is not member and (each.is_short or each.waiting):
                are_others_short = True
        allowed = self._part(member, cap.lanes) if are_others_short else cap.lanes - lent + member.lent
        free = max(0, self._most(cap) - lent)
        return max(1, min(allowed, member.own.most, member.lent + free))

    def _part(self, member: Share, lanes: int) -> int:
        """Return an even part of so many; what is left over goes to those that came first."""
        members = self._members if member in self._members else [*self._members, member]
        return (lanes + len(members) - 1 - members.index(member)) // len(members)

    def _yields(self, member: Share) -> bool:
        """Tell whether a crew that has no more than its part has had it for longest, and long enough, and some wait."""
        if not self._asked or not member.lent or all(other.lent for other, _ in self._asked):
            return False
        holders = [other for other in self._members if other.lent]
        part = max(1, self.lent // len(self._members))
        if any(holder.lent > part for holder in holders):
            return False  # who has more than that makes room
        return member is min(holders, key=lambda each: each.since) and self._clock() - member.since >= SLICE_S

    def join(self, member: Share) -> None:
        """Let a crew have one more permit that it need not wait for."""
        self._enter(member)
        self._give(member)

    def _enter(self, member: Share) -> None:
        if member not in self._members:
            self._members.append(member)
        if self._cap is None or member.own.most > self._cap.most:
            self._cap = member.own

    def ask(self, member: Share, lend: Callable[[], None]) -> None:
        self._enter(member)
        member.waiting += 1
        self._asked.append((member, lend))
        self.lend()

    def withdraw(self, member: Share, lend: Callable[[], None]) -> None:
        self._asked.remove((member, lend))
        member.waiting -= 1
        self._see_whether_gone(member)

    def give_back(self, member: Share) -> None:
        member.lent -= 1
        self._see_whether_gone(member)
        self.lend()

    def lower(self, lanes: int) -> None:
        self._lowered = max(1, min(lanes, self._lowered or lanes))
        for cap in (self._cap, *(member.own for member in self._members)):
            if cap:
                cap.lower(self._lowered)

    def measure(self) -> None:
        """Tell the cap what all brought together, once each crew at work has told it."""
        told = [member.sample for member in self._members if member.lent]
        samples = [sample for sample in told if sample]
        if not samples or len(samples) < len(told) or self._cap is None:
            return
        seconds, items, amounts, lanes, busy = zip(*samples, strict=True)
        self._cap.measured(sum(seconds) / len(seconds), sum(items), sum(amounts), sum(lanes), busy=all(busy))
        for member in self._members:
            member.sample = None

    def _most(self, cap: Cap) -> int:
        return min(cap.most, self._lowered or cap.most)

    def lend(self) -> None:
        """Lend what there is; where that is not enough, have those make room that only keep theirs."""
        while self._asked and self._cap and self.lent < self._most(self._cap):
            first = min(self._asked, key=lambda asked: asked[0].lent)
            self._asked.remove(first)
            member, lend = first
            self._give(member)
            member.waiting -= 1
            lend()
        for parked in self.parked[: len(self._asked)]:
            parked.make_room()

    def _give(self, member: Share) -> None:
        member.since = member.since if member.lent else self._clock()
        member.lent += 1

    def _see_whether_gone(self, member: Share) -> None:
        if not member.lent and not member.waiting:
            self._members.remove(member)
            member.is_short, member.sample = False, None
        if not self._members:
            self._cap = self._lowered = None
