"""Files of this machine that a glob names."""

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Final

from runner.errors import SourceError, is_utf8, printable
from runner.model import StoredObject
from runner.read.services import is_remote
from runner.read.store_errors import LOCAL_HINT
from runner.source.sidecars import by_folded_name, may_be_sidecar, with_sidecars

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_LOOKED_AT: Final = 100_000  # files, to say what there is where nothing matches


def whole_path(path: str) -> str:
    """An absolute path, without ~ and .., that follows no links: a link's own name tells the date."""
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - Path.absolute keeps '..'


def constant_prefix(pattern: str) -> str:
    """The folders of a glob before its first wildcard, with a slash at the end, or nothing."""
    magic = re.search(r"[*?\[]", pattern)
    return pattern[: pattern.rfind("/", 0, magic.start() if magic else len(pattern)) + 1]


def list_folder(pattern: str) -> Iterator[StoredObject]:
    """The files that a glob names, or the one of that very name, each with the files beside it; broken links too.

    Raises SourceError for a folder that may not be listed, and for names that are not UTF-8.
    """
    absolute = whole_path(pattern)
    _refuse_locked(absolute)
    is_name = Path(absolute).is_file() or _is_broken_link(absolute)  # brackets may stand in a name
    paths = [absolute] if is_name else glob.glob(absolute, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
    files = [path for path in paths if Path(path).is_file() or _is_broken_link(path)]
    refuse_odd_names(files)
    yield from files_with_sidecars(_stored(path) for path in files)


def _is_broken_link(path: str) -> bool:
    """Tell if a name leads nowhere: its file was never fetched, or was deleted."""
    return Path(path).is_symlink() and not Path(path).exists()


def _stored(path: str) -> StoredObject:
    """A file; of one that is gone, or of a link that leads nowhere, the name alone, so that reading it fails."""
    try:
        state = Path(path).stat()
        return StoredObject(path, state.st_size, None, datetime.fromtimestamp(state.st_mtime, UTC))
    except OSError:
        if Path(path).exists():
            raise
        return StoredObject(path)
    except ValueError as error:
        raise SourceError(f"{printable(path)}: its time of modification: {error}; set it to now with: touch") from error


def files_with_sidecars(items: Iterable[StoredObject]) -> Iterator[StoredObject]:
    """Local objects with the files beside them; each folder is listed once."""

    @lru_cache(maxsize=64)
    def names_in(folder: str) -> Mapping[str, str]:
        try:
            return by_folded_name(
                f"{folder}/{name}"
                for name in os.listdir(folder)  # noqa: PTH208 - names are enough
                if may_be_sidecar(name)
            )
        except OSError:
            return {}  # it may be entered but not listed; then nothing shows what lies beside

    for item in items:
        if is_remote(item.href):  # of a manifest; only a listing would show what lies beside
            yield item
            continue
        yield with_sidecars(item, names_in(item.href.rpartition("/")[0]))


def files_around(pattern: str) -> list[str]:
    """Files below the folder that a glob names, or below the folders it begins with; up to some of them."""
    folder = pattern if Path(pattern).is_dir() else constant_prefix(pattern).rstrip("/")
    files = (f"{path}/{name}" for path, _, names in os.walk(folder or "/") for name in names)
    return list(islice(files, _LOOKED_AT))


def missing_folder(pattern: str) -> str | None:
    """The first folder on a glob's way to its first wildcard that is not there; None if all are."""
    folder = Path(constant_prefix(pattern) or ".")
    return next((str(parent) for parent in [*reversed(folder.parents), folder] if not parent.exists()), None)


def _refuse_locked(pattern: str) -> None:
    """Raise SourceError for a folder on the pattern's way that may not be listed or entered: glob passes over it."""
    parts = Path(pattern).parts
    for depth in range(1, len(parts)):
        listed = parts[depth - 1] == "**" or glob.has_magic(parts[depth])
        for folder in glob.glob(str(Path(*parts[:depth])) + "/", recursive=True):  # noqa: PTH207 - as above
            if not os.access(folder, os.X_OK | (os.R_OK if listed else 0)):
                raise SourceError(f"{folder.rstrip('/')}: permission denied; {LOCAL_HINT}")


def refuse_odd_names(paths: Sequence[str]) -> None:
    """Raise SourceError for names that no store and no table can hold: of other bytes than UTF-8, or of control
    characters.
    """
    odd = [path for path in paths if not is_utf8(path) or _CONTROL.search(path)]
    encoding = sys.getfilesystemencoding()
    if odd and encoding != "utf-8":
        raise SourceError(
            f"{printable(odd[0])}: {len(odd)} of {len(paths)} names of files are not text in this locale's encoding, "
            f"{encoding}; set PYTHONUTF8=1 if they are UTF-8, or narrow source.url"
        )
    if odd:
        raise SourceError(
            f"{printable(odd[0])}: {len(odd)} of {len(paths)} names of files are not UTF-8 or hold control characters; "
            "rename them (convmv -f latin1 -t utf8 --notest), or narrow source.url"
        )
