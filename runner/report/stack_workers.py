"""Who ran which stacks of an archive, and when: a row for each host, and a lane of time for each worker process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from markupsafe import Markup

from runner.base import humanize
from runner.record.stacks import StackRow
from runner.report.charts import Plot, lanes, spread_evenly, tag, x_axis
from runner.report.records import Floats
from runner.report.scales import Scale, duration_ticks

_MOST_HOSTS: Final = 100
_MOST_LANES: Final = 48
_BINS: Final = 240
_LANE: Final = 18  # pixels


class HostRow(NamedTuple):
    """A host: its worker processes, its stacks, and what they took."""

    host: str
    processes: str
    stacks: str
    failed: str
    fetched: str
    busy: str  # all stacks together
    span: str  # from its first stack to its last


@dataclass(frozen=True, slots=True)
class _Ran:
    """Stacks whose time is known, of one host or one process; seconds since the first of all began."""

    rows: tuple[StackRow, ...]
    start: Floats
    stop: Floats


def host_rows(rows: Sequence[StackRow]) -> list[HostRow]:
    """The hosts in the order in which they began; none if all stacks ran in one process."""
    timed = _timed(rows)
    if len({row.worker for row in timed}) < 2:
        return []
    return [_host_row(host, ran) for host, ran in list(_grouped(timed, _host).items())[:_MOST_HOSTS]]


def lanes_figure(rows: Sequence[StackRow]) -> Markup:
    """How many stacks each worker process had at each time; nothing if all ran in one process, or if too many did."""
    workers = _grouped(_timed(rows), lambda row: row.worker or "")
    if not 2 <= len(workers) <= _MOST_LANES:
        return Markup()
    end = max(float(ran.stop.max()) for ran in workers.values())
    x = Scale(0.0, max(end, 1e-3))
    edges = np.linspace(x.low, x.high, _BINS + 1)
    plot = Plot(x, Scale(0, 1), _LANE * len(workers))
    marks = [_lane(plot, edges, number, ran) for number, ran in enumerate(workers.values())]
    names = [(f"worker {number}", worker) for number, worker in enumerate(workers, 1)]
    ticks = duration_ticks(x, 8)
    title = Markup("<b>stacks</b> under way, worker by worker")
    parts = [lanes(title, names, marks, _LANE, ticks), x_axis(ticks, "since the first stack began")]
    return tag("figure", parts, class_="chart")


def _lane(plot: Plot, edges: Floats, number: int, ran: _Ran) -> Markup:
    under_way = spread_evenly(ran.start, ran.stop, ran.stop - ran.start, edges) / (edges[1] - edges[0])
    top, foot = number * _LANE + 2, (number + 1) * _LANE - 2
    part = Scale(1 - foot / plot.height, 1 - top / plot.height)
    return plot.steps(edges, np.zeros(edges.size - 1), under_way / max(float(under_way.max()), 1.0), "decode", part)


def _host_row(host: str, ran: _Ran) -> HostRow:
    fetched = [row.bytes for row in ran.rows if row.bytes is not None]
    failed = sum(row.status == "FAILED" for row in ran.rows)
    return HostRow(
        host,
        humanize.count(len({row.worker for row in ran.rows})),
        humanize.count(len(ran.rows)),
        humanize.count(failed) if failed else "",
        humanize.size(sum(fetched) if fetched else None),
        humanize.seconds(float((ran.stop - ran.start).sum())),
        f"{humanize.seconds(float(ran.start.min()))} to {humanize.seconds(float(ran.stop.max()))}",
    )


def _timed(rows: Sequence[StackRow]) -> list[StackRow]:
    return [row for row in rows if row.worker and row.started and row.seconds is not None]


def _host(row: StackRow) -> str:
    return (row.worker or "").rpartition(":")[0]


def _grouped(rows: Sequence[StackRow], key: Callable[[StackRow], str]) -> dict[str, _Ran]:
    """The stacks of each, in the order in which each began."""
    began = {row.stack: row.started.timestamp() for row in rows if row.started}
    first = min(began.values(), default=0.0)
    groups: dict[str, list[StackRow]] = {}
    for row in sorted(rows, key=lambda row: began[row.stack]):
        groups.setdefault(key(row), []).append(row)
    return {name: _ran(group, began, first) for name, group in groups.items()}


def _ran(rows: Sequence[StackRow], began: Mapping[str, float], first: float) -> _Ran:
    start = np.array([began[row.stack] - first for row in rows])
    return _Ran(tuple(rows), start, start + np.array([row.seconds or 0.0 for row in rows]))
