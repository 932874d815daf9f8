"""Makes what blocks awaitable, method by method. Knows neither who calls it nor where; starts nothing."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Concatenate, Generic, ParamSpec, Protocol, TypeVar

T = TypeVar("T")
P = ParamSpec("P")
B = TypeVar("B")
B_co = TypeVar("B_co", covariant=True)


class OffLoop(Protocol):
    """Calls functions where they hold nothing up, one after the other."""

    def __call__(self, function: Callable[..., T], /) -> Awaitable[T]:
        """Return what becomes the function's result."""
        ...


class Face(Generic[B_co]):
    """The awaitable face of an object whose methods block: those of them that are named, each as an `Awaited`."""

    def __init__(self, blocking: B_co, off_loop: OffLoop) -> None:
        """Have the methods called off the loop."""
        self.blocking = blocking
        self.off_loop = off_loop


class Awaited(Generic[B, P, T]):
    """A method of a face: as that of the object behind it, but that it returns what is to be awaited."""

    def __init__(self, method: Callable[Concatenate[B, P], T]) -> None:
        """Stand for a method that blocks."""
        self._method = method

    def __get__(self, face: Face[B], _: object = None) -> Callable[P, Awaitable[T]]:
        """Return the method of one face."""

        def call(*arguments: P.args, **named: P.kwargs) -> Awaitable[T]:
            return face.off_loop(partial(self._method, face.blocking, *arguments, **named))

        return call
