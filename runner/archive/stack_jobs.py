"""The job of one stack of an archive: the archive's, narrowed to the stack's scenes and to a folder of its own."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from runner.base.humanize import relative_path
from runner.base.overrides import key_of, quoted, without_folder
from runner.errors import RecordError
from runner.record.reused_run import reuses
from runner.record.stacks import FOLDER
from runner.settings import JobSettings
from runner.source.parts import Part

_OF_ARCHIVE: Final = (
    "source.stack_by", "source.where", "source.bands", "archive.shard", "archive.cluster", "cluster@archive.cluster",
    "reuse",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ArchiveJob:
    """The job of an archive: its settings, its config as resolved and as it is written, and its overrides."""

    job: JobSettings
    folder: Path
    resolved: Mapping[str, Any]
    written: Mapping[str, Any]
    overrides: Sequence[str]

    @classmethod
    def of(cls, job: JobSettings) -> "ArchiveJob":
        """A job that is planned, and written nowhere."""
        return cls(job, Path(job.output.dir), {}, {}, ())

    def folder_of(self, part: Part) -> Path:
        """The folder of a stack's run."""
        return self.folder / FOLDER / part.name

    def settings_of(self, part: Part) -> JobSettings:
        """The settings of a stack's run."""
        where = {**self.job.source.where, **part.where}
        source = replace(self.job.source, stack_by=[], where=where, **_band_of(part))
        output = replace(self.job.output, **self._places(part))
        archive = replace(self.job.archive, cluster=None, shard=None)
        return replace(self.job, source=source, output=output, archive=archive, reuse=self._reused_by(part))

    def config_of(self, part: Part) -> dict[str, Any]:
        """The resolved config of a stack's run."""
        return self._narrowed(self.resolved, part)

    def written_config_of(self, part: Part) -> dict[str, Any]:
        """The config of a stack's run as it is written, with interpolations as they are."""
        return self._narrowed(self.written, part)

    def overrides_of(self, part: Part) -> list[str]:
        """The overrides by which the command line runs the stack alone."""
        shared = [word for word in without_folder(self.overrides) if not _is_of_archive(key_of(word))]
        reused = self._reused_by(part)
        where = {**self.job.source.where, **part.where}
        return [
            *shared,
            "source.stack_by=[]",
            *(() if part.band is None else ("source.bands=null", f"source.band={_typed(part.band)}")),
            *(f"source.where.{name}={_typed(value)}" for name, value in where.items()),
            *([f"reuse={quoted(reused)}"] if reused else []),
        ]

    def _narrowed(self, config: Mapping[str, Any], part: Part) -> dict[str, Any]:
        source, output = config["source"], config["output"]
        where = {**(source.get("where") or {}), **part.where}
        return {
            **config,
            "source": {**source, "stack_by": [], "where": where, **_band_of(part)},
            "output": {**output, **self._places(part)},
            **({"reuse": self._reused_by(part)} if config.get("reuse") else {}),
            **({"archive": {**config["archive"], "cluster": None, "shard": None}} if "archive" in config else {}),
        }

    def _reused_by(self, part: Part) -> str | None:
        """The folder of the stack of the same name in the archive that is reused, if it has kept tasks.

        Raises RecordError where that archive is not seen.
        """
        if self.job.reuse is None:
            return None
        if not Path(self.job.reuse).is_dir():
            raise RecordError(
                f"reuse={self.job.reuse}: that folder is not seen on {platform.node()}; put it where all workers see it"
            )
        folder = Path(self.job.reuse) / FOLDER / part.name
        return str(folder) if reuses(folder) else None

    def _places(self, part: Part) -> dict[str, Any]:
        """The settings that say where the results of a stack go."""
        upload = self.job.output.upload
        address = upload and f"{upload.rstrip('/')}/{FOLDER}/{part.name}"
        return {"dir": str(self.folder_of(part)), "upload": address}


def _band_of(part: Part) -> dict[str, Any]:
    """The settings of the one band of a stack; none if it is that of the archive."""
    return {} if part.band is None else {"bands": None, "band": part.band}


def advice_on(folder: Path) -> str:
    """The way out of a damaged folder of a stack."""
    return f"remove {relative_path(folder)}, and resume the archive, which then computes the stack again"


def _is_of_archive(key: str) -> bool:
    """Tell if a key parts scenes into stacks, or shares stacks out."""
    return key in _OF_ARCHIVE or key.startswith(("source.where.", "archive.cluster."))


def _typed(value: Any) -> str:
    """A value of `source.where` as it stands on the command line."""
    if isinstance(value, list):
        return f"[{','.join(map(_typed, value))}]"
    return "null" if value is None else quoted(value) if isinstance(value, str) else str(value)
