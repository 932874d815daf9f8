"""What was learned about a server, in words for people; what means nothing to them is left out. Pure."""

from collections.abc import Iterator, Mapping

from async_mirror.ftp.known import quirks
from async_mirror.ftp.known.rungs import MANNERS

_ALTERED = {
    "alters times": "rounds modification times to 2 s",
    "alters all times": "replaces modification times",
    "alters case": "changes the case of names",
    "alters form": "changes the Unicode form of names",
    "one name for two: case": "ignores case in names",
    "one name for two: form": "ignores the Unicode form of names",
}
_TRAITS = {
    quirks.REPLACING: "renames over files",
    quirks.SIZE_OF_FILE: "tells file sizes",
    quirks.NO_UTF8: "accepts names that are not UTF-8",
    **{command: f"sets modification times with {command.split(' with ')[0]}" for command in quirks.TIMES.values()},
}
_QUIRKS = {quirks.LONG_LINE, quirks.LISTING_AS_IMAGE, quirks.SHOWN_TEMPORARIES, quirks.EARLY_END}
_FIGURES = {"most connections": "connections allowed", "connections": "quickest with connections"}


def in_words(learned: Mapping[str, int | str]) -> Iterator[str]:
    """Yield what is known by these names, each as a thing and a number, yes or no; what is as usual is left out."""
    for name, value in sorted(learned.items()):
        match name.partition(" "):
            case ("has" | "lacks") as which, _, what if what in _TRAITS:
                yield _answered(_TRAITS[what], which == "has")
            case "hash", _, by:
                yield _answered(f"right hashes {by}", value == 1)
            case "removal", _, _:
                yield _answered("deletes folders with their content", value != 1)
            case (("EPSV" | "PASV"), _, _) if value == 0:
                yield _answered(f"data connections with {name}", False)
            case _ if name in _ALTERED:
                yield _answered(_ALTERED[name], value == 1)
            case _ if name in _FIGURES:
                yield f"{_FIGURES[name]}: {value}"
    for rung, manner in MANNERS.items():
        if learned.get(f"rung {rung.value}") == 0:
            yield _answered(f"accepts {manner}", False)
    lacked = sorted(name.removeprefix("lacks ") for name in learned if name.startswith("lacks "))
    if commands := [each for each in lacked if each not in _TRAITS and each not in _QUIRKS]:
        yield f"does not know {', '.join(commands)}"


def _answered(what: str, answer: bool) -> str:
    return f"{what}: {'yes' if answer else 'no'}"
