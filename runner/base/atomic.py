"""Files written aside, checked and renamed, so that nothing half-written has a final name; texts lose their secrets."""

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

import msgspec

from runner.base.redact import redact, redact_tree
from runner.errors import OutputError

_ASIDE: Final = re.compile(r"\.(?P<stem>.+)\.\d+\.part(?P<suffix>\.[^.]+)(\..+)?")  # and what GDAL leaves beside it


def write_text(final: Path, text: str) -> None:
    """Write a text without its secrets. Raises OutputError as `written_aside` does."""
    with written_aside(final) as aside:
        aside.write_bytes(redact(text).encode("utf-8", "backslashreplace"))  # JSON holds halves of surrogate pairs


def write_json(final: Path, facts: Mapping[str, Any]) -> None:
    """Write facts without their secrets. Raises OutputError as `written_aside` does."""
    with written_aside(final) as aside:
        aside.write_text(_json(facts), "utf-8")


def update_json(final: Path, facts: Mapping[str, Any], plain: Collection[str] = ()) -> None:
    """Write facts without their secrets, as often as they change; what is under the `plain` keys holds none.

    Raises OSError as `renamed_at_end` does.
    """
    with renamed_at_end(final) as aside:
        aside.write_text(_json(facts, plain), "utf-8")


def _json(facts: Mapping[str, Any], plain: Collection[str] = ()) -> str:
    tree = {**redact_tree(facts), **{key: facts[key] for key in plain}}
    try:
        return msgspec.json.format(json.dumps(tree), indent=1) + "\n"  # the same text, in a fraction of the time
    except msgspec.DecodeError:  # half of a surrogate pair
        return json.dumps(tree, indent=1) + "\n"


@contextmanager
def written_aside(final: Path) -> Iterator[Path]:
    """Yield a name in the same folder to write to; the file is on the disk before it takes its final name.

    Raises OutputError if the folder or the disk refuses.
    """
    try:
        with renamed_at_end(final) as aside:
            yield aside
            with aside.open("rb") as file:
                os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(
            f"{final}: cannot be written: {error.strerror or error}; free some space or set output.dir"
        ) from error


@contextmanager
def renamed_at_end(final: Path) -> Iterator[Path]:
    """Yield such a name for a file that may be lost when the machine stops. Raises OSError, and leaves no file then."""
    aside = final.with_name(f".{final.stem}.{os.getpid()}.part{final.suffix}")
    try:
        yield aside
        aside.replace(final)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


@contextmanager
def all_or_none(files: Sequence[Path]) -> Iterator[None]:
    """Remove all of these files if the block that writes them ends by an error."""
    try:
        yield
    except BaseException:
        for file in files:
            file.unlink(missing_ok=True)
        raise


def remove_asides(folder: Path, names: Collection[str]) -> None:
    """Remove what processes that were killed wrote aside of files with these final names, as far as may be."""
    for path in folder.iterdir():
        if final_name(path.name) in names:
            with suppress(OSError):
                path.unlink()


def final_name(aside: str) -> str | None:
    """The final name of a file by the name that it has aside; None for any other file."""
    match = _ASIDE.fullmatch(aside)
    return f"{match['stem']}{match['suffix']}" if match else None


def free_folder(folder: Path) -> Path:
    """The folder, or the first with a number behind its name that is not there: two runs may start in one second."""
    if not folder.exists():
        return folder
    return next(other for number in count(2) if not (other := folder.with_name(f"{folder.name}_{number}")).exists())
