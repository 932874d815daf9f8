"""A password that no text gets into by mistake. Knows neither where it is from nor what it opens."""

from typing import Final, NoReturn

HIDDEN: Final = "***"
_SHORTEST_IN_ANY_TEXT = 4
"""Characters; fewer are in many words, and are looked for only where the password was just sent."""


class Secret:
    """A text that only `reveal` gives out. It pickles, so that workers get it, and takes itself out of other texts.

    `str`, `format` and so f-strings raise TypeError: what they make is sent or shown. `repr` says that it is a secret,
    and no more: debuggers, data classes and asyncio ask for it at any time.
    """

    __slots__ = ("_quoted", "_text", "_word")

    def __init__(self, text: str) -> None:
        """Keep a text; "" is a secret that is in no text."""
        self._text = text
        self._word = text.strip()
        self._quoted = self._word.replace('"', '""')

    def reveal(self) -> str:
        """Return the text itself, for the one command that needs it."""
        return self._text

    def redact(self, text: str, *, even_short: bool = False) -> str:
        """Return a text without the secret, also as it is in a path of RFC 959, where a quotation mark stands twice.

        One of fewer than 4 characters is left where it is, unless it is to be taken out `even_short`.
        """
        word, quoted = self._word, self._quoted
        if not word or not (word in text or quoted in text):
            return text
        if not even_short and len(word) < _SHORTEST_IN_ANY_TEXT:
            return text
        return text.replace(word, HIDDEN).replace(quoted, HIDDEN)

    def __bool__(self) -> bool:
        """Tell whether there is any text."""
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        """Tell whether the other one is a secret of the same text."""
        return isinstance(other, Secret) and self._text == other.reveal()

    def __hash__(self) -> int:
        """Return the text's own hash."""
        return hash(self._text)

    def __repr__(self) -> str:
        """Say that it is a secret."""
        return f"Secret({HIDDEN})"

    def __str__(self) -> NoReturn:
        """Refuse."""
        raise TypeError("a secret is not to be printed")

    def __format__(self, spec: str) -> NoReturn:
        """Refuse."""
        raise TypeError("a secret is not to be printed")

    def __reduce__(self) -> tuple[type["Secret"], tuple[str]]:
        """Travel to another process."""
        return Secret, (self._text,)


NO_SECRET: Final = Secret("")
