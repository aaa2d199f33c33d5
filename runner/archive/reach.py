"""What every worker of an archive must reach, seen to before any stack runs: scenes, their masks, files of polygons."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Final

from runner.cluster.open import Prepare
from runner.engine.worker_preparation import Pinned, read_start, refuse_unreachable
from runner.errors import ClusterError, RunnerError, expanded
from runner.planning.reading import fetch_options
from runner.read.services import is_remote
from runner.settings import JobSettings
from runner.source.mask_files import with_mask
from runner.source.outlines import Outlines, outlines_of, typed_file
from runner.source.parts import Part
from runner.source.stores import Stores

_MOST: Final = 4  # places that are tried of scenes, and as many of masks: buckets, hosts, the folders of this machine
_TRIES: Final = 3  # objects of a place, some of which may be gone


def with_absolute_files(job: JobSettings) -> JobSettings:
    """The job with the paths of `source.area` and `zones.file` as a worker needs them, whose folder is another."""

    def absolute(file: str | None) -> str | None:
        return file if file is None or is_remote(file) else str(expanded(file).absolute())

    source = replace(job.source, area=absolute(job.source.area))
    return replace(job, source=source, zones=replace(job.zones, file=absolute(job.zones.file)))


def probe_of(job: JobSettings, stores: Stores, parts: Sequence[Part], outlines: Outlines) -> Prepare:
    """What a worker calls before its first stack: it reads of each place what this process has just read.

    `outlines` are the polygons with which the run began. A call raises ClusterError for what the worker cannot reach,
    or has in another version.
    """
    examples = [*_examples(job, stores, parts)]
    return partial(_refuse_beyond_reach, with_absolute_files(job), stores.beside(), outlines, examples)


def _refuse_beyond_reach(job: JobSettings, stores: Stores, outlines: Outlines, examples: Sequence[Pinned]) -> None:
    try:
        there = outlines_of(job, stores)
    except RunnerError as error:
        raise ClusterError(
            f"it cannot read {error}; the run's own process does, so give both the same files under the same paths"
        ) from error
    for setting, _, _ in there.changed_since(outlines):
        raise ClusterError(
            f"{typed_file(job, setting)} has other polygons there than for the run's own process; give both the same "
            "file"
        )
    refuse_unreachable(stores, fetch_options(job.fetch), examples)


def _examples(job: JobSettings, stores: Stores, parts: Sequence[Part]) -> Iterator[Pinned]:
    """A scene of each place that this process can read, and a mask of each place of masks."""
    for hrefs in (_scenes(parts), _masks(job, parts)):
        places: defaultdict[str | None, list[str]] = defaultdict(list)
        for href in hrefs:
            found = places[stores.locate(href).root]
            if len(found) < _TRIES:
                found.append(href)
        for found in islice(places.values(), _MOST):
            for href in found:
                with suppress(RunnerError):  # the stack of this object says so
                    read_start(stores, fetch_options(job.fetch), Pinned(href))
                    yield Pinned(href)
                    break


def _scenes(parts: Sequence[Part]) -> Iterator[str]:
    return (candidate.item.href for part in parts for candidate in part.candidates)


def _masks(job: JobSettings, parts: Sequence[Part]) -> Iterator[str]:
    for candidate in (candidate for part in parts for candidate in part.candidates):
        with suppress(RunnerError):  # as above
            mask = with_mask(job.mask, candidate.item).mask
            if mask:
                yield mask.href
