"""Reading of a stack: the reader, the stores, and the rule by which pixels count."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from runner.base.sizes import parse_bytes
from runner.model import MaskFile, Scene, Stack
from runner.planning.masking import PixelRule, make_rule
from runner.read.decode import fast_path_refusal
from runner.read.fetch import FetchOptions
from runner.read.header import SceneFile
from runner.settings import EngineName, FetchSettings, Inflate, JobSettings, ReaderName
from runner.source.gdal_stores import gdal_options
from runner.source.stores import Stores, network_environment

_TOGETHER_BYTES: Final = 128 * 2**20  # of tiles of several scenes, decoded together


@dataclass(frozen=True, slots=True)
class Reading:
    """The way from stored scenes to values. Picklable; a worker opens its own stores."""

    rule: PixelRule
    reader: ReaderName
    fetch: FetchOptions
    stores: Stores
    gdal_options: Mapping[str, str]
    inflate: Inflate = Inflate.auto

    def by_gdal(self, scene: Scene) -> bool:
        """True if GDAL reads the scene."""
        if self.reader is ReaderName.auto:
            return fast_path_refusal(scene.header, scene.band) is not None
        return self.reader is ReaderName.gdal

    def needs_gdal(self, scene: Scene) -> bool:
        """True if GDAL reads the scene or its mask."""
        return self.by_gdal(scene) or self.mask_by_gdal(scene)

    def mask_by_gdal(self, scene: Scene) -> bool:
        """True if GDAL reads the mask that the scene has."""
        if scene.mask is None or self.rule.test is None:
            return False
        if self.reader is ReaderName.auto:
            return fast_path_refusal(scene.mask.header, self.rule.test.band) is not None
        return self.reader is ReaderName.gdal

    def file_of(self, file: Scene | MaskFile) -> SceneFile:
        """The object of a scene or a mask, as readers open it."""
        location = self.stores.locate(file.href)
        version = file.etag, file.header, file.size, file.modified
        return SceneFile(file.href, self.stores.of(location), location.key, *version)


def make_reading(job: JobSettings, stack: Stack, stores: Stores | None = None) -> Reading:
    """Resolve how a job reads this stack; without `stores` it opens its own. Raises PlanError as `make_rule`."""
    fetch = fetch_options(job.fetch)
    largest = max(stack.tile_bytes, stack.mask_tile_bytes)
    together = max(1, min(fetch.scenes_together, _TOGETHER_BYTES // largest))
    return Reading(
        rule=make_rule(job, stack),
        reader=ReaderName.gdal if job.engine is EngineName.xarray else job.reader,
        fetch=replace(fetch, scenes_together=together),
        stores=stores or Stores.of_source(job.source, fetch),
        gdal_options=gdal_options_of(job),
        inflate=job.decode.inflate,
    )


def gdal_options_of(job: JobSettings) -> dict[str, str]:
    """The options of GDAL that hold in every worker."""
    return {**network_environment(job.source.s3), **job.gdal.options, **gdal_options(job.source)}


def fetch_options(settings: FetchSettings) -> FetchOptions:
    """The options by which bytes are fetched."""
    return FetchOptions(
        in_flight=settings.in_flight,
        ahead_bytes=parse_bytes(settings.ahead),
        attempts=settings.attempts,
        timeout_seconds=settings.timeout,
    )


def left_to_gdal(job: JobSettings, stack: Stack) -> dict[str, list[str]]:
    """Reasons why `reader=auto` leaves scenes to GDAL, each with the hrefs."""
    return _left_to_gdal(job, ((scene, scene.band) for scene in stack.scenes))


def masks_left_to_gdal(job: JobSettings, stack: Stack) -> dict[str, list[str]]:
    """Reasons why `reader=auto` leaves masks to GDAL, each with the hrefs."""
    return _left_to_gdal(job, ((mask, job.mask.band) for mask in stack.masks))


def _left_to_gdal(job: JobSettings, files: Iterable[tuple[Scene | MaskFile, int]]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    if job.engine is EngineName.block and job.reader is ReaderName.auto:
        for file, band in files:
            reason = fast_path_refusal(file.header, band)
            if reason:
                reasons.setdefault(reason, []).append(file.href)
    return reasons
