"""The workload: an archive of made-up scenes, the server that stands in for a distant bucket, and the true means.

`python tests/benchmarks/workload.py --scenes 100` makes and keeps an archive.
"""

import argparse
import json
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import psutil
import rasterio

from runner.base.atomic import written_aside
from runner.base.console import progress_bar, say
from runner.demo.archive import TILE, ArchiveSpec, default_cache_dir, ensure_archive
from runner.demo.server import serve

Doubles: TypeAlias = npt.NDArray[np.float64]
Sums: TypeAlias = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Network:
    """What the server pretends: seconds before each answer, bytes per second of each connection (0: no limit)."""

    latency: float
    bandwidth: float

    def __str__(self) -> str:
        """For the title of a table."""
        limit = f"{self.bandwidth / 1e6:g} MB/s a connection" if self.bandwidth else "no limit of bandwidth"
        return f"latency {self.latency * 1000:g} ms, {limit}"


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive on disk: the folder of buckets that the server shows."""

    spec: ArchiveSpec
    root: Path

    @property
    def url(self) -> str:
        """The pattern that lists its scenes."""
        return f"s3://{self.spec.bucket}/{TILE}/**/Gamma0_VV.tif"

    @property
    def paths(self) -> list[Path]:
        """Its files, in order of time."""
        return [self.root / self.spec.bucket / self.spec.scene(index).key for index in range(self.spec.scenes)]

    @property
    def stored_bytes(self) -> int:
        """The size of its scenes, links counted as files."""
        return sum(path.stat().st_size for path in self.paths)

    def __str__(self) -> str:
        """For the title of a table."""
        spec = self.spec
        made = "" if spec.distinct == spec.scenes else f" ({spec.distinct} distinct, the others links to them)"
        size = f"{spec.height} x {spec.width} float32"
        return f"{spec.scenes} scenes{made} of {size}, {self.stored_bytes / 1e9:.2f} GB stored"


def add_options(parser: argparse.ArgumentParser, distinct: int | None) -> None:
    """The options of the archive but for the number of scenes; `distinct` is a default."""
    parser.add_argument("--size", type=int, default=5490, help="rows and columns of a scene (default: %(default)s)")
    linked = f"make only so many and link the others to them (default: {distinct or 'all'})"
    parser.add_argument("--distinct", type=int, default=distinct, metavar="SCENES", help=linked)
    cache, kept = default_cache_dir() / "benchmarks", "where archives are kept (default: %(default)s)"
    parser.add_argument("--cache", type=Path, default=cache, metavar="FOLDER", help=kept)


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """The options of the server."""
    parser.add_argument("--latency", type=float, default=0.05, metavar="SECONDS", help="default: %(default)s")
    bandwidth = "of each connection; 0: no limit (default: %(default)g)"
    parser.add_argument("--bandwidth", type=float, default=60e6, metavar="BYTES_PER_SECOND", help=bandwidth)


def network(options: argparse.Namespace) -> Network:
    """The network that the options ask for."""
    return Network(options.latency, options.bandwidth)


def prepare(cache: Path, scenes: int, size: int, distinct: int | None) -> Archive:
    """The archive, made now unless the cache has it."""
    spec = ArchiveSpec(scenes=scenes, width=size, height=size, distinct_scenes=distinct)
    with progress_bar("archive") as progress:
        return Archive(spec, ensure_archive(cache, spec, progress))


# --- the server -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    """The server in a process of its own."""

    endpoint: str
    process: psutil.Process

    def take_stats(self) -> tuple[int, int]:
        """Requests answered and bytes of bodies sent since the last call."""
        with urllib.request.urlopen(f"{self.endpoint}/_stats?reset=1") as answer:
            stats = json.load(answer)
        return sum(stats["requests"].values()), stats["bytes_sent"]

    def cpu_seconds(self) -> float:
        """What the server itself has used; no contestant is charged for it."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def served(archive: Archive, conditions: Network) -> Iterator[Server]:
    """Serve the archive on loopback, its files read once before so that no contestant waits for the disk."""
    for path in archive.paths[: archive.spec.distinct]:
        path.read_bytes()
    known = set(psutil.Process().children())
    limit = conditions.bandwidth or None
    with serve(archive.root, latency_seconds=conditions.latency, bandwidth_bytes_per_second=limit) as endpoint:
        (process,) = set(psutil.Process().children()) - known
        yield Server(endpoint, process)


# --- the truth --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Means:
    """What a contestant shall find: `spatial` of shape (scenes,), `temporal` of (y, x); NaN where nothing is valid."""

    spatial: Doubles
    temporal: Doubles


@dataclass(frozen=True, slots=True)
class Truth:
    """The means with nodata left out, and with its zeros taken for pixels as the founding notebook does."""

    masked: Means
    unmasked: Means


def true_means(archive: Archive) -> Truth:
    """The means by rasterio and plain numpy, from the files; kept beside the archive."""
    path = archive.root.with_name(f"{archive.root.name}.means.npz")
    if not path.exists():
        with written_aside(path) as aside:
            np.savez(aside, **_sums(archive))  # type: ignore[arg-type]  # mypy takes an array for allow_pickle
    with np.load(path) as kept:
        sums = {name: kept[name] for name in kept.files}
    shape = (archive.spec.height, archive.spec.width)
    return Truth(
        masked=_means(sums, sums["spatial_count"], sums["temporal_count"]),
        unmasked=_means(sums, np.full(archive.spec.scenes, shape[0] * shape[1]), np.full(shape, archive.spec.scenes)),
    )


def _sums(archive: Archive) -> Sums:
    """Sums and counts of valid pixels over space and over time; nodata is 0, so that sums do not depend on the mask."""
    spec = archive.spec
    times_linked = Counter(index % spec.distinct for index in range(spec.scenes))
    total = np.zeros((spec.height, spec.width))
    count = np.zeros((spec.height, spec.width), np.int32)
    spatial = np.zeros((2, spec.distinct))
    with progress_bar("true means") as progress:
        for index, path in enumerate(archive.paths[: spec.distinct]):
            with rasterio.open(path) as scene:
                pixels = scene.read(1)
            spatial[:, index] = pixels.sum(dtype=np.float64), np.count_nonzero(pixels)
            total += times_linked[index] * pixels.astype(np.float64)
            count += times_linked[index] * (pixels != 0)
            progress(index + 1, spec.distinct)
    sums, counts = np.resize(spatial, (2, spec.distinct))[:, np.arange(spec.scenes) % spec.distinct]
    return {"spatial_sum": sums, "spatial_count": counts, "temporal_sum": total, "temporal_count": count}


def _means(sums: Sums, spatial_count: npt.NDArray[Any], temporal_count: npt.NDArray[Any]) -> Means:
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: nothing valid
        return Means(sums["spatial_sum"] / spatial_count, sums["temporal_sum"] / temporal_count)


def main() -> None:
    """Make the archive and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--scenes", type=int, default=20, help="how many (default: %(default)s)")
    add_options(parser, distinct=None)
    options = parser.parse_args()
    started = time.monotonic()
    archive = prepare(options.cache, options.scenes, options.size, options.distinct)
    say(f"{archive}; {time.monotonic() - started:.1f} s; {archive.root}")


if __name__ == "__main__":
    main()
