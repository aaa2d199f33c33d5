"""Which reader takes which scene, and why scenes are left to GDAL."""

from runner.model import Scene, Stack
from runner.read.decode import fast_path_refusal
from runner.read.header import Header
from runner.settings import EngineName, JobSettings, ReaderName


def by_gdal(reader: ReaderName, header: Header, band: int) -> bool:
    """Whether GDAL reads this band of a file."""
    if reader is ReaderName.auto:
        return fast_path_refusal(header, band) is not None
    return reader is ReaderName.gdal


def any_by_gdal(job: JobSettings, stack: Stack) -> bool:
    """Whether GDAL reads any of the scenes."""
    return any(by_gdal(job.reader, scene.header, job.source.band) for scene in stack.scenes)


def read_by_gdal(job: JobSettings, stack: Stack) -> list[Scene]:
    """The scenes that GDAL reads, which is all of them for the xarray engine."""
    if job.engine is EngineName.xarray:
        return list(stack.scenes)
    return [scene for scene in stack.scenes if by_gdal(job.reader, scene.header, job.source.band)]


def left_to_gdal(job: JobSettings, stack: Stack) -> dict[str, list[str]]:
    """Why scenes are left to GDAL, by the fast reader: for each reason, their hrefs. Nothing if no one asks for it."""
    reasons: dict[str, list[str]] = {}
    if job.engine is EngineName.block and job.reader is ReaderName.auto:
        for scene in stack.scenes:
            reason = fast_path_refusal(scene.header, job.source.band)
            if reason:
                reasons.setdefault(reason, []).append(scene.href)
    return reasons
