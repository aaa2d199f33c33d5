"""Nothing half-written under a final name: write aside, check, rename."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runner.errors import OutputError

_ASIDE: Final = re.compile(r"\.(?P<stem>.+)\.\d+\.part(?P<suffix>\.[^.]+)(\..+)?")  # and what GDAL leaves beside it


@contextmanager
def written_aside(final: Path) -> Iterator[Path]:
    """A name in the same folder to write to; it takes the final name once the block ends without an error.

    Raises OutputError if the folder or the disk refuses.
    """
    try:
        with renamed_at_end(final) as aside:
            yield aside
            with aside.open("rb") as written:
                os.fsync(written.fileno())
    except OSError as error:
        raise OutputError(
            f"{final}: cannot be written: {error.strerror or error}; free some space or set output.dir"
        ) from error


@contextmanager
def renamed_at_end(final: Path) -> Iterator[Path]:
    """The same for a file that may be lost when the machine stops. Raises OSError; nothing is left of a failure."""
    aside = final.with_name(f".{final.stem}.{os.getpid()}.part{final.suffix}")
    try:
        yield aside
        aside.replace(final)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def all_or_none(files: Sequence[Path]) -> Iterator[None]:
    """Write several files in the block, of which none stays if it ends by an error."""
    try:
        yield
    except BaseException:
        for file in files:
            file.unlink(missing_ok=True)
        raise


def final_name(aside: str) -> str | None:
    """The name of the file for which one of this name was written aside; None if it was not."""
    found = _ASIDE.fullmatch(aside)
    return f"{found['stem']}{found['suffix']}" if found else None
