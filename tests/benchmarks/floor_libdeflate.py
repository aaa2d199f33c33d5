"""The mark: fetch, inflate, undo the predictor, drop. It is tuned by hand for the benchmark's files, without our code.

It has no retries, pins no versions, knows one kind of TIFF and keeps nothing: what is left is work that nobody can
avoid. Many plain connections bring the bytes into buffers that are used again: obstore, which hands over a new buffer
for each range, takes an eighth more CPU. libdeflate inflates them, and a compiled kernel undoes the predictor.
"""

import gc
import os
import struct
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

from task import Stopwatch, Task, list_keys, set_gdal_environment, task_of, task_parser

if TYPE_CHECKING:
    from floor_decoder import Decoder

Item = TypeVar("Item")

CONNECTIONS = 16  # for each CPU, which takes in some 450 MB/s: with 50 ms and 60 MB/s, one brings 40 MB/s
HEADER_BYTES = 2**16
NUMBERS = {3: "H", 4: "I", 16: "Q"}  # types of TIFF's numbers, in letters of struct
WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_SIZES = 256, 257, 322, 323, 324, 325
WANTED = {258: (32,), 259: (8,), 277: (1,), 317: (3,), 339: (3,)}  # one band of float32, DEFLATE, predictor 3


class Scene(NamedTuple):
    """A file: its rows and columns, those of a tile, and the first byte of each tile and the one after its last."""

    key: str
    shape: tuple[int, int]
    tile: tuple[int, int]
    tiles: list[tuple[int, int]]

    def spans(self) -> Iterator["Span"]:
        """Its rows of tiles."""
        across = -(-self.shape[1] // self.tile[1])
        for first in range(0, len(self.tiles), across):
            tiles = self.tiles[first : first + across]
            start, stop = min(start for start, _ in tiles), max(stop for _, stop in tiles)
            yield Span(self.key, start, stop, self.tile, tiles)


class Span(NamedTuple):
    """A row of tiles, and the bytes of the file that hold them."""

    key: str
    start: int
    stop: int
    tile: tuple[int, int]
    tiles: list[tuple[int, int]]


def main() -> None:
    """Read every tile once."""
    gc.disable()  # collections walk through what imports leave behind, for a twentieth of the CPU time
    parser = task_parser(__doc__)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="that decode (default: one for each CPU)")
    parser.add_argument("--check", action="store_true", help="then read again, and compare every pixel with rasterio's")
    options = parser.parse_args()
    task, watch = task_of(options), Stopwatch()
    connections = [Connection(task) for _ in range(CONNECTIONS * options.threads)]
    idle = queue_of(connections)
    with ThreadPoolExecutor(len(connections) + options.threads) as pool:
        # Half a second, in which the headers and the first pixels are on their way.
        importing = [pool.submit(import_decoder) for _ in range(options.threads)]
        with watch("headers"):
            scenes = [*pool.map(lambda key: read_header(key, idle), list_keys(task))]
        spans = [span for scene in scenes for span in scene.spans()]
        longest = max(span.stop - span.start for span in spans)
        for connection in connections:
            connection.buffer = memoryview(bytearray(longest))
        decoders = queue_of(importing)
        jobs = [pool.submit(read, span, idle, decoders) for span in spans]
        with watch("imports"):
            decoder, *_ = [job.result() for job in importing]
        with watch("compute"):
            pixels = sum(job.result() for job in jobs)
    gc.freeze()  # nor does the collection at the end walk through them
    watch.save(task.folder)
    expected = sum(len(scene.tiles) * scene.tile[0] * scene.tile[1] for scene in scenes)
    if pixels != expected:
        raise SystemExit(f"read {pixels} pixels, wanted {expected}")
    if options.check:
        check(task, scenes, connections[0], decoder)


def import_decoder() -> "Decoder":
    """A decoder, and numba, numpy and imagecodecs with it."""
    from floor_decoder import Decoder

    return Decoder()


def read(span: Span, idle: "SimpleQueue[Connection]", decoders: "SimpleQueue[Future[Decoder]]") -> int:
    """Read and drop; the number of pixels. Of the many threads that fetch, as many decode as there are decoders."""
    with lent(idle) as connection:
        data = connection.fetch(span.key, span.start, span.stop)
        with lent(decoders) as ready:
            decoder = ready.result()
            return sum(decoder.decode(data[a - span.start : b - span.start], span.tile).size for a, b in span.tiles)


def check(task: Task, scenes: list[Scene], connection: "Connection", decoder: "Decoder") -> None:
    """Read the scenes again, and compare them bit by bit with what rasterio reads."""
    set_gdal_environment(task, {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"})
    import numpy as np
    import rasterio

    for scene in scenes:
        rows, columns = scene.tile
        found = np.empty(scene.shape, np.uint32)
        for row, span in enumerate(scene.spans()):
            data = connection.fetch(span.key, span.start, span.stop)
            for column, (start, stop) in enumerate(span.tiles):
                place = found[row * rows :, column * columns :][:rows, :columns]
                pixels = decoder.decode(data[start - span.start : stop - span.start], scene.tile)
                place[...] = pixels[: place.shape[0], : place.shape[1]]
        with rasterio.open(f"s3://{task.bucket}/{scene.key}") as raster:
            if raster.shape != scene.shape or raster.read(1).tobytes() != found.tobytes():
                raise SystemExit(f"{scene.key}: its pixels are not those that rasterio reads")


def queue_of(items: list[Item]) -> "SimpleQueue[Item]":
    """The items, for threads to take and to put back."""
    queue: SimpleQueue[Item] = SimpleQueue()
    for item in items:
        queue.put(item)
    return queue


@contextmanager
def lent(queue: "SimpleQueue[Item]") -> Iterator[Item]:
    """An item that nobody else has; waits for one."""
    item = queue.get()
    try:
        yield item
    finally:
        queue.put(item)


# --- fetching -----------------------------------------------------------------------------------------------------


class Connection:
    """A connection to the server, kept alive, and the buffer that its answers go into."""

    def __init__(self, task: Task) -> None:
        self.buffer = memoryview(bytearray(HEADER_BYTES))
        self._http = HTTPConnection(urlsplit(task.endpoint).netloc)
        self._bucket = task.bucket

    def fetch(self, key: str, start: int, stop: int) -> memoryview:
        """Bytes of an object, fewer where it ends before. They are valid until the next call."""
        self._http.request("GET", f"/{self._bucket}/{quote(key)}", headers={"Range": f"bytes={start}-{stop - 1}"})
        answer = self._http.getresponse()
        length = answer.length or 0
        if answer.status != 206 or answer.readinto(self.buffer[:length]) != length:
            raise SystemExit(f"{key}: bytes {start} to {stop} unread, status {answer.status}")
        answer.close()
        return self.buffer[:length]


def read_header(key: str, idle: "SimpleQueue[Connection]") -> Scene:
    """A file by its first image, for which the others of a COG are overviews."""
    with lent(idle) as connection:
        try:
            tags = dict(read_tags(connection.fetch(key, 0, HEADER_BYTES)))
        except struct.error as error:
            raise SystemExit(f"{key}: no TIFF, or its header is longer than {HEADER_BYTES} bytes") from error
    if other := {tag: tags.get(tag) for tag, value in WANTED.items() if tags.get(tag) != value}:
        raise SystemExit(f"{key}: TIFF tags {other}, wanted {WANTED}")
    tiles = [(start, start + size) for start, size in zip(tags[TILE_OFFSETS], tags[TILE_SIZES], strict=True)]
    tile = (tags[TILE_HEIGHT][0], tags[TILE_WIDTH][0])
    return Scene(key, (tags[HEIGHT][0], tags[WIDTH][0]), tile, tiles)


def read_tags(data: memoryview) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The tags of the first image that are numbers; the file is a little-endian TIFF or BigTIFF."""
    if bytes(data[:2]) != b"II":
        raise SystemExit("the mark reads little-endian TIFFs alone")
    first, count, word = (8, "<Q", "Q") if data[2] == 43 else (4, "<H", "I")
    size = struct.calcsize(word)
    (start,) = struct.unpack_from(f"<{word}", data, first)
    (entries,) = struct.unpack_from(count, data, start)
    start += struct.calcsize(count)
    for entry in range(start, start + entries * (4 + 2 * size), 4 + 2 * size):
        tag, kind, number = struct.unpack_from(f"<HH{word}", data, entry)
        if kind in NUMBERS:
            values, place = f"<{number}{NUMBERS[kind]}", entry + 4 + size
            if struct.calcsize(values) > size:
                (place,) = struct.unpack_from(f"<{word}", data, place)
            yield tag, struct.unpack_from(values, data, place)


if __name__ == "__main__":
    main()
