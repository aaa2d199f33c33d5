"""The floor: fetch, inflate, undo the predictor, drop. No run can be faster on these machines with this reader."""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeAlias

from task import Stopwatch, Task, task_of, task_parser

from runner.model import Scene, locate
from runner.read.fast_reader import read_scenes
from runner.read.fetch import FetchCounts, FetchOptions
from runner.read.header import SceneFile, Window
from runner.settings import OnError, S3Settings, SourceSettings
from runner.source.scenes import find_inputs
from runner.source.stores import Stores

Share: TypeAlias = list[tuple[list[SceneFile], Window]]


def main() -> None:
    """Read every block once."""
    parser = task_parser(__doc__)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: one for each CPU")
    options = parser.parse_args()
    task, watch = task_of(options), Stopwatch()
    with watch("headers"):
        files = find_files(task)
    with watch("compute"), ThreadPoolExecutor(options.threads) as pool:
        pixels = sum(pool.map(read, shares(files, options.threads)))
    wanted = sum(file.header.shape[0] * file.header.shape[1] for file in files)
    if pixels != wanted:
        raise SystemExit(f"read {pixels} pixels, wanted {wanted}")
    watch.save(task.folder)


def find_files(task: Task) -> list[SceneFile]:
    """The scenes with their headers, found the way the runner does."""
    s3 = S3Settings(endpoint_url=task.endpoint, anonymous=True)
    source = SourceSettings(url=task.url, datetime_regex=r"_(?P<date>\d{8})_", limit=task.limit, s3=s3)
    stores = Stores(s3)
    inputs = find_inputs(source, stores, OnError.stop, lambda done, total: None)
    return [scene_file(scene, stores) for scene in inputs.stack.scenes]


def scene_file(scene: Scene, stores: Stores) -> SceneFile:
    """The scene as the reader takes it."""
    location = locate(scene.href)
    return SceneFile(scene.href, stores.of(location), location.key, scene.etag, scene.header)


def shares(files: list[SceneFile], threads: int) -> list[Share]:
    """What each thread reads: every n-th scene, and its part of the block rows of those that are left over.

    One long run of scenes for each thread, since every new run begins with a wait for its first range.
    """
    whole = len(files) // threads * threads
    height, width = files[0].header.shape
    block = files[0].header.tile_shape[0]
    rows = -(-height // block)
    edges = [min(rows * thread // threads * block, height) for thread in range(threads + 1)]
    return [
        [(files[thread:whole:threads], Window(0, 0, height, width))]
        + [([file], Window(top, 0, bottom - top, width)) for file in files[whole:] if bottom > top]
        for thread, (top, bottom) in enumerate(pairwise(edges))
    ]


def read(share: Share) -> int:
    """Read and drop; the number of pixels."""
    counts, options = FetchCounts(), FetchOptions()
    return sum(block.pixels.size for files, window in share for block in read_scenes(files, window, 1, options, counts))


if __name__ == "__main__":
    main()
