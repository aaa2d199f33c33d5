"""`trace.parquet`: a row for every attempt at a task."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from runner.base.redact import redact
from runner.engine.trace import TaskTrace, Work
from runner.output.arrow import table_of
from runner.output.table import write_table

_TIME = pa.timestamp("us", tz="UTC")
SCHEMA: Final = pa.schema(
    [
        ("pass", pa.string()),  # the names of its stages, joined by +
        ("stages", pa.string()),  # the same, joined by a comma
        ("task", pa.int32()),  # its number in the pass; engine=xarray: among the pieces of its results
        ("attempt", pa.int16()),  # from 1 on
        ("status", pa.string()),  # done, failed, or reused from another run
        ("error", pa.string()),
        ("worker", pa.string()),  # its address
        ("host", pa.string()),
        ("pid", pa.int32()),
        ("thread", pa.int64()),
        ("start", _TIME),  # null of engine=xarray, whose pieces share what dask reads; as are seconds, bytes and valid
        ("stop", _TIME),
        ("row", pa.int32()),  # the window, in pixels
        ("column", pa.int32()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("first_scene", pa.int32()),  # in the stack's order, from 0 on; stop_scene is not part of the task
        ("stop_scene", pa.int32()),
        ("fetch_seconds", pa.float64()),  # waiting for ranges
        ("decode_seconds", pa.float64()),
        ("reduce_seconds", pa.float64()),
        ("compile_seconds", pa.float64()),  # waiting for machine code, which is in none of these
        ("bytes", pa.int64()),
        ("requests", pa.int64()),
        ("retries", pa.int64()),
        ("peak_bytes", pa.int64()),  # resident, of the worker's process, the most during the attempt
        ("pixels", pa.int64()),
        ("valid", pa.int64()),  # of them, those that count
    ]
)

_OF_PLACE = ("worker", "host", "pid", "thread")
_OF_WORK = tuple(field.name for field in fields(Work))


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    stages: Sequence[str]
    status: str
    trace: TaskTrace


class TraceLog:
    """The attempts of a run so far."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: list[_Entry] = []

    def add(self, name: str, stages: Sequence[str], trace: TaskTrace, *, reused: bool = False) -> None:
        """Take an attempt at a task of the pass `name`; `reused` if its result was there from another run."""
        status = "failed" if trace.error is not None else "reused" if reused else "done"
        self._entries.append(_Entry(name, stages, status, trace))

    def next_number(self, name: str) -> int:
        """The number behind those of the tasks of a pass, which is cut anew once scenes are left out of it."""
        numbers = (entry.trace.number for entry in self._entries if entry.name == name and entry.status != "reused")
        return max((number + 1 for number in numbers if number is not None), default=0)

    def write(self) -> None:
        """Write all attempts, pass by pass, in the order they ended. Raises OutputError."""
        passes = {name: number for number, name in enumerate(dict.fromkeys(entry.name for entry in self._entries))}
        in_order = sorted(self._numbered(), key=lambda entry: (passes[entry.name], entry.trace.stopped or 0.0))
        tries: Counter[tuple[str, int | None]] = Counter()
        rows = []
        for entry in in_order:
            tries[entry.name, entry.trace.number] += 1
            rows.append(_row(entry, tries[entry.name, entry.trace.number]))
        write_table(self._path, table_of(rows, SCHEMA))

    def _numbered(self) -> Iterator[_Entry]:
        """All of them; tasks that were lost with their worker are known by their key, if they were done since."""
        done = defaultdict[str, list[TaskTrace]](list)
        for trace in (entry.trace for entry in self._entries):
            if trace.task and trace.place and trace.place.key:
                done[trace.place.key].append(trace)
        for entry in self._entries:
            trace = entry.trace
            again = () if trace.task or not trace.place or not trace.place.key else done.get(trace.place.key, ())
            if not again:
                yield entry
            for success in again:
                yield replace(entry, trace=replace(trace, number=success.number, task=success.task))


def _row(entry: _Entry, attempt: int) -> dict[str, Any]:
    trace = entry.trace
    return {
        "pass": entry.name,
        "stages": ",".join(entry.stages),
        "task": trace.number,
        "attempt": attempt,
        "status": entry.status,
        "error": None if trace.error is None else redact(trace.error),
        **{name: getattr(trace.place, name, None) for name in _OF_PLACE},
        "start": _time(trace.started),
        "stop": _time(trace.stopped),
        **_extent(trace),
        **{name: getattr(trace.work, name, None) for name in _OF_WORK},
        "peak_bytes": trace.peak_bytes,
    }


def _extent(trace: TaskTrace) -> dict[str, int]:
    if trace.task is None:
        return {}
    window, first, stop = trace.task
    pixels = (stop - first) * window.height * window.width
    return {**window._asdict(), "first_scene": first, "stop_scene": stop, "pixels": pixels}


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
