"""`inputs.parquet` read back: every object that a run found, used or left out."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import RecordError
from runner.record.json_files import missing_file

if TYPE_CHECKING:
    from runner.model import Scene, StoredObject


@dataclass(frozen=True, slots=True)
class RecordedInput:
    """One object as a run found it: a scene of its stack, or (not `used`) left out for a `reason`.

    `skipped` marks one that was left out because it could not be read.
    """

    href: str
    scene: str | None
    time: datetime | None
    used: bool
    reason: str | None
    size: int | None
    etag: str | None
    modified: datetime | None
    skipped: bool = False
    columns: tuple[tuple[str, str], ...] = ()  # its named groups, and columns of a manifest
    sidecars: tuple[str, ...] = ()
    sidecars_sha256: str | None = None
    mask_href: str | None = None
    mask_etag: str | None = None
    mask_size: int | None = None
    mask_modified: datetime | None = None

    @property
    def counted(self) -> bool:
        """Whether its pixels were read and counted: it was used, or had too few valid ones."""
        return self.used or (self.reason or "").startswith("source.min_valid_fraction=")

    @property
    def objects(self) -> list[tuple[str, str | None]]:
        """The href and the ETag of it, and of the mask in a file of its own."""
        return [(self.href, self.etag), *([(self.mask_href, self.mask_etag)] if self.mask_href else [])]

    @property
    def versions(self) -> list[tuple[str, str, int | None]]:
        """The href, the ETag or else the time of the last change, and the size of each of these."""
        own = self.href, self.etag or str(self.modified), self.size
        mask = self.mask_href and (self.mask_href, self.mask_etag or str(self.mask_modified), self.mask_size)
        return [own, mask] if mask else [own]

    @property
    def beside(self) -> str | None:
        """The digest of the files beside it, or "nothing"; None if it was not recorded."""
        return self.sidecars_sha256 or (None if self.sidecars else "nothing")

    def changed_beside(self, scene: "Scene") -> str | None:
        """A message if the files beside it have changed; None if they have not, or if that is unknown."""
        if self.beside in (None, scene.sidecars_sha256 or "nothing"):
            return None
        names = ", ".join(dict.fromkeys((*self.sidecars, *scene.sidecars)))
        return f"{self.href}: what stands beside it has changed since it was recorded ({names})"

    @property
    def stored(self) -> "StoredObject":
        """The object as the archive held it then."""
        from runner.model import StoredObject  # noqa: PLC0415 - numpy, which lists spare

        mask = self.mask_href and StoredObject(self.mask_href, self.mask_size, self.mask_etag, self.mask_modified)
        version = self.size, self.etag, self.modified
        return StoredObject(self.href, *version, self.time, self.columns, self.sidecars, mask=mask or None)


_MASK = ("mask_href", "mask_etag", "mask_size", "mask_modified")
_LATER = ("skipped", "groups", "sidecars", "sidecars_sha256", *_MASK)  # columns that older runs did not write


def read_inputs(folder: Path) -> tuple[RecordedInput, ...]:
    """The rows of inputs.parquet, scenes in their order first. Raises RecordError if they cannot be read."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - a quarter of a second that lists spare
    from pyarrow import ArrowException  # noqa: PLC0415 - as above

    from runner.output.arrow import rows_of  # noqa: PLC0415 - as above

    file = folder / "inputs.parquet"
    columns = ["href", "scene", "datetime", "used", "reason", "size", "etag", "modified"]
    try:
        with pq.ParquetFile(file) as stored:
            columns += [name for name in _LATER if name in stored.schema_arrow.names]
            table = stored.read(columns)
        return tuple(_recorded_input(row) for row in rows_of(table))
    except FileNotFoundError as error:
        raise missing_file(file) from error
    except (OSError, KeyError, ValueError, AttributeError, OverflowError, ArrowException) as error:
        raise RecordError(f"{file} cannot be read: {error}; it was cut off or altered") from error


def counted_inputs(rows: Iterable[RecordedInput]) -> list[RecordedInput]:
    """The scenes whose pixels were counted, in the order of the stack that they were."""
    counted = [row for row in rows if row.counted]
    if all(row.used for row in counted):
        return counted
    return sorted(counted, key=lambda row: (str(row.time), row.scene or "", row.href))


def _recorded_input(row: dict[str, Any]) -> RecordedInput:
    groups, sidecars = json.loads(row.pop("groups", None) or "{}"), row.pop("sidecars", None) or ()
    columns = tuple((str(name), str(value)) for name, value in groups.items())
    return RecordedInput(time=row.pop("datetime"), columns=columns, sidecars=tuple(sidecars), **row)
