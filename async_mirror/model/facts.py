"""What was found out about a server: names, values, and how long they hold. Pure; knows what none of them means."""

from collections.abc import Iterable
from typing import NamedTuple


class Fact(NamedTuple):
    """One thing that was found out, `of` a server, an account or a path; it holds for `lasts_s` seconds.

    `generation` counts how often it was found to be otherwise: of two that meet the later one is right. A fact that
    lasts 0 s is not kept from one pass to the next. `told` says it to people, as a note if it makes things slower or
    less safe (`is_note`); what was kept somewhere is not told again.
    """

    of: str
    name: str
    value: int | str
    lasts_s: float
    generation: int = 1
    told: str = ""
    is_note: bool = False


class Facts:
    """All that is known of one server, shared by all sessions with it. What was learned stands in `log`, in order.

    Workers in other processes have a copy. What one of them logs is told to the others, so all know the same soon.
    """

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        """Begin with what was known before."""
        self._known: dict[tuple[str, str], Fact] = {}
        self._claimed: set[tuple[str, str]] = set()
        self.log: list[Fact] = []
        self._taken = 0
        self.renew(facts)

    def renew(self, facts: Iterable[Fact]) -> None:
        """Forget all, for what is known now: facts that were kept somewhere and still hold."""
        self._known = {(fact.of, fact.name): fact for fact in facts}
        self._claimed = set()
        self.log.clear()
        self._taken = 0

    def lasting(self) -> list[Fact]:
        """Return what holds for longer than a pass."""
        return [fact for fact in tuple(self._known.values()) if fact.lasts_s]

    def value(self, of: str, name: str) -> int | str | None:
        """Return what is known, None for nothing."""
        fact = self._known.get((of, name))
        return fact.value if fact else None

    def number(self, of: str, name: str) -> int:
        """Return what is known as a number, 0 for nothing."""
        value = self.value(of, name)
        return value if isinstance(value, int) else 0

    def generation(self, of: str, name: str) -> int:
        """Tell how often it was found to be otherwise; 0 if nothing is known."""
        fact = self._known.get((of, name))
        return fact.generation if fact else 0

    def names(self, of: str, prefix: str) -> list[str]:
        """List the names of what is known of something, those with this prefix, without it."""
        return [name[len(prefix) :] for about, name in tuple(self._known) if about == of and name.startswith(prefix)]

    def about(self, prefix: str) -> set[str]:
        """List what something is known of, by names with this prefix."""
        return {about for about, _ in tuple(self._known) if about.startswith(prefix)}

    def find(self, fact: Fact) -> bool:
        """Note what was found out, whatever its generation; return whether that is news."""
        if self.value(fact.of, fact.name) == fact.value:
            return False
        return self.learn([fact._replace(generation=self.generation(fact.of, fact.name) + 1)])

    def learn(self, facts: Iterable[Fact]) -> bool:
        """Take over what others found out, unless it is no later than what is known; return whether any was."""
        news = [fact for fact in facts if fact.generation > self.generation(fact.of, fact.name)]
        self._known.update(((fact.of, fact.name), fact) for fact in news)
        self.log += news
        return bool(news)

    def news(self) -> list[Fact]:
        """Return what was learned since this was last called."""
        news = self.log[self._taken :]
        self._taken = len(self.log)
        return news

    def claim(self, of: str, name: str) -> bool:
        """Claim the right to find something out until `release`: True for one at a time, in one of the processes."""
        if (of, name) in self._claimed or ("", "") in self._claimed:
            return False
        self._claimed.add((of, name))
        return True

    def release(self, of: str, name: str) -> None:
        """Let another one claim what was not found out."""
        self._claimed.discard((of, name))

    def __getstate__(self) -> dict[str, object]:
        """Travel to a worker, the first of which alone may claim anything: it has that right from us."""
        state = dict(self.__dict__, _known=self._known.copy(), _claimed=self._claimed.copy(), log=[])
        self._claimed.add(("", ""))
        return state
