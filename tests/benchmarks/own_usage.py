"""`python -m runner` with the words of this command, and a file `usage`: of it alone, CPU seconds and peak bytes.

A file `parts` has the CPU seconds of dask's event loops in this process, of the threads that encode rasters, and of
children that have ended.
"""

import resource
import sys
import threading
import time
from pathlib import Path

from runner.cli import main
from runner.host.memory import peak_bytes

_LOOP = ("IO loop",)  # dask's name for its thread
_RASTER = ("encoder", "raster", "beside-raster", "blocks")
_ended: list[tuple[str, float]] = []  # threads by their names, with their CPU seconds


def _count_threads() -> None:
    run = threading.Thread.run

    def counted(self: threading.Thread) -> None:
        try:
            run(self)
        finally:
            _ended.append((self.name, time.thread_time()))

    threading.Thread.run = counted  # type: ignore[method-assign]


def _seconds_of(names: tuple[str, ...]) -> float:
    """CPU seconds of the threads whose names begin so, of those that have ended and those that stay."""
    stay = [
        (thread.name, _seconds(thread)) for thread in threading.enumerate() if thread is not threading.main_thread()
    ]
    return sum(seconds for name, seconds in (*_ended, *stay) if name.startswith(names))


def _seconds(thread: threading.Thread) -> float:
    return int(Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text().split()[0]) / 1e9


if __name__ == "__main__":
    _count_threads()
    code = main()
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    Path("usage").write_text(f"{own.ru_utime + own.ru_stime} {peak_bytes()}")
    parts = _seconds_of(_LOOP), _seconds_of(_RASTER), children.ru_utime + children.ru_stime
    Path("parts").write_text(" ".join(map(str, parts)))
    sys.exit(code)
