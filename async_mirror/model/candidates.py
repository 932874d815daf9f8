"""What may be at a path of the site while that is not known for sure. Pure: decides by what it is given.

A path that was touched and not confirmed has candidates: every version that may be there. What is seen at the path
rules out those that look otherwise; only a confirmed upload, rename or deletion replaces them all.
"""

from collections.abc import Iterable
from typing import NamedTuple

from async_mirror.model.entry import UNKNOWN, Entry, Kind

MOST = 8
"""More candidates than this are not told apart any more: the path may hold anything of ours."""

_SECOND_NS = 1_000_000_000
_COARSE_NS = 2 * _SECOND_NS
"""FAT keeps times to two seconds."""


class Candidates(NamedTuple):
    """The versions that may be at one path, None for absence; `anything` if they were too many to keep.

    `torn` says that a part of a version may be there, too, which was written under the final name. Without any version,
    what is there is not ours.
    """

    versions: tuple[Entry | None, ...]
    anything: bool = False
    torn: bool = False

    @property
    def are_one(self) -> bool:
        """True if it is known what is there."""
        return len(self.versions) == 1 and not self.anything and not self.torn


def added(candidates: Candidates, versions: Iterable[Entry | None]) -> Candidates:
    """Return candidates with more versions, each once. One of unknown digest is the same only if all marks agree."""
    kept = list(candidates.versions)
    for version in versions:
        for place, each in enumerate(kept):
            if _is_same_version(each, version):
                kept[place] = _merged(each, version)
                break
        else:
            kept.append(version)
    if candidates.anything or len(kept) > MOST:
        return Candidates((), anything=True)
    return Candidates(tuple(kept), torn=candidates.torn)


def observed(candidates: Candidates, seen: Entry | None, *, sets_times: bool = False) -> Candidates:
    """Return the candidates that may look like what was seen at the path (None: nothing).

    `sets_times` says that the site gives files the modification time it is told, so that a version never seen there is
    expected with that of the source. Else times of the source say nothing about those of the site.
    """
    if candidates.anything:
        return candidates
    like = [each for each in candidates.versions if _may_look(each, seen, sets_times=sets_times)]
    may_be_torn = candidates.torn and seen is not None and not seen.is_folder
    torn = may_be_torn and not any(_is_whole(each, seen, sets_times=sets_times) for each in like)
    return Candidates(tuple(like), torn=torn)


def held_after(path: str, candidates: Candidates, seen: Entry | None, *, sets_times: bool = False) -> Entry | None:
    """Return what is held at a path after it was looked at; None for nothing, or nothing of ours.

    A size of UNKNOWN stands for some version of ours: the file is uploaded again, or deleted if it left the source.
    """
    if candidates.anything:
        return Entry(path, Kind.FILE, UNKNOWN)
    alone = len(candidates.versions) == 1 and not candidates.torn
    still = observed(candidates, seen, sets_times=sets_times and not alone)
    left = [each for each in still.versions if each]
    if seen is None or not (left or still.torn):
        return None
    first = left[0] if left else Entry(path, Kind.FILE)
    if still.torn:
        return unknown(first)
    if first.is_folder:
        return first._replace(mode=seen.mode)
    sure = _is_expected(first, seen) or (alone and not sets_times and first.size != UNKNOWN)
    if sure and all(map(first.is_content_of, left[1:])):
        mode = first.mode if seen.mode == UNKNOWN else seen.mode
        return first._replace(mode=mode, site_size=seen.size, site_mtime_ns=seen.mtime_ns)
    return unknown(first)


def unknown(version: Entry) -> Entry:
    """Return a file of an unknown version."""
    return version._replace(size=UNKNOWN, digest=b"", ctime_ns=0, site_size=UNKNOWN, site_mtime_ns=UNKNOWN)


def _is_same_version(one: Entry | None, other: Entry | None) -> bool:
    if one is None or other is None:
        return one is other
    if one.kind is not other.kind:
        return False
    return one.is_folder or (one.same_content_as(other) and one.is_content_of(other))


def _merged(one: Entry | None, other: Entry | None) -> Entry | None:
    """Return one version for two that are the same; put there once more, it may show another time."""
    if one is None or other is None:
        return None
    alike = (one.site_size, one.site_mtime_ns) == (other.site_size, other.site_mtime_ns)
    seen = (one.site_size, one.site_mtime_ns) if alike else (UNKNOWN, UNKNOWN)
    return other._replace(digest=other.digest or one.digest, site_size=seen[0], site_mtime_ns=seen[1])


def _may_look(version: Entry | None, seen: Entry | None, *, sets_times: bool) -> bool:
    if version is None or seen is None:
        return version is seen
    if version.kind is not seen.kind:
        return False
    if version.is_folder or version.size == UNKNOWN:
        return True
    if seen.size != (version.size if version.site_size == UNKNOWN else version.site_size):
        return False
    return _time_agrees(version, seen) or (version.site_mtime_ns == UNKNOWN and not sets_times)


def _time_agrees(version: Entry, seen: Entry) -> bool:
    if seen.mtime_ns == UNKNOWN:
        return True
    if version.site_mtime_ns != UNKNOWN:
        return version.site_mtime_ns // _SECOND_NS == seen.mtime_ns // _SECOND_NS
    return abs(version.mtime_ns - seen.mtime_ns) < _COARSE_NS


def _is_whole(version: Entry | None, seen: Entry | None, *, sets_times: bool) -> bool:
    """Tell whether a file has the time that a version gets once all of it is there, or that the site showed of it."""
    if version is None or seen is None:
        return False
    return (sets_times or version.site_mtime_ns != UNKNOWN) and _is_expected(version, seen)


def _is_expected(version: Entry, seen: Entry) -> bool:
    """Tell whether a file shows the size and the time of a version; by its size alone it may be another's."""
    return UNKNOWN not in {version.size, seen.mtime_ns} and _time_agrees(version, seen)
