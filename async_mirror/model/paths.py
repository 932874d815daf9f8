"""Paths inside the mirror, as text and as bytes. Pure: does no I/O."""

from async_mirror.model.odd_names import refusal


def encode(path: str) -> bytes:
    """Return the bytes of a path, as the local disk and the wire have them."""
    return path.encode("utf-8", "surrogateescape")


def decode(raw: bytes) -> str:
    """Return the text of a path's bytes; bytes that are no UTF-8 survive the way back."""
    return raw.decode("utf-8", "surrogateescape")


def is_utf8(text: str) -> bool:
    """Tell whether all bytes of a text are UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def join(folder: str, name: str) -> str:
    """Return the path of `name` inside `folder`."""
    return f"{folder}/{name}" if folder else name


def split(path: str) -> tuple[str, str]:
    """Return (folder, name) of a path."""
    folder, _, name = path.rpartition("/")
    return folder, name


def parent(path: str) -> str:
    """Return the folder that holds `path`; "" is the root."""
    return path.rpartition("/")[0]


def lineage(path: str) -> list[str]:
    """Return the folders above `path`, topmost first, without the root."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def is_inside(path: str, folder: str) -> bool:
    """Tell whether `path` is `folder` or lies below it."""
    return not folder or path == folder or path.startswith(folder + "/")


def is_one_component(name: str) -> bool:
    """Tell whether a name from the server is a plain component: not empty, no `/`, no NUL, neither `.` nor `..`."""
    return name not in {"", ".", ".."} and "/" not in name and refusal(name) is None


def is_plain(path: str) -> bool:
    """Tell whether all of a path, "" being the root, is plain components: it stays inside and fits in a command."""
    slashed = f"/{path}/"
    inside = "//" not in slashed and "/./" not in slashed and "/../" not in slashed
    return not path or (inside and refusal(path) is None)
