"""Tasks, throughput and memory over time: one figure with one axis."""

from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from runner.base import humanize
from runner.report.charts import WIDTH, Plot, box, lanes, legend, panel, spread_evenly, tag, x_axis
from runner.report.records import Contents, Floats, PassFacts, Tasks
from runner.report.scales import Scale, Tick, byte_ticks, duration_ticks, scale_of
from runner.report.tasks import described

_MOST_BARS = 800  # with more attempts than that, lanes show shares of time instead of one bar for each
_MOST_LANES = 48
_CELLS = 6000  # of all lanes together, where they show shares
_BINS = 160  # of the throughput
_MOST_MARKS = 300
_MOST_PROCESSES = 8
_SHARES: Final = (
    ("fetch", "waiting for bytes"), ("decode", "decoding"), ("reduce", "reducing"), ("compile", "compiling"),
    ("other", "other"),
)  # fmt: skip


class _Lane(NamedTuple):
    """A thread of a worker, and its attempts."""

    name: str
    said: str
    rows: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class _Timeline:
    """The attempts this run made, their times counted from its beginning, and the lanes they lie in."""

    tasks: Tasks
    x: Scale
    lanes: list[_Lane]
    unseen: int  # lanes for which there is no room

    @property
    def lane_height(self) -> int:
        """Pixels of a lane."""
        return 22 if len(self.lanes) <= 12 else 14

    @property
    def few(self) -> bool:
        """Whether each attempt has a bar of its own."""
        return sum(len(lane.rows) for lane in self.lanes) <= _MOST_BARS

    def across(self, time: float) -> float:
        """The place of a time, in units of the plot."""
        return float(self.x.at(time)) * WIDTH

    def ticks(self) -> list[Tick]:
        """Of the axis of time."""
        return duration_ticks(self.x, 8)


def timeline_figure(contents: Contents) -> Markup:
    """Lanes of tasks, throughput and memory; nothing if no attempt of this run has a time."""
    line = _timeline(contents)
    if line is None:
        return Markup()
    parts = [
        _lane_panel(line, contents.tasks or line.tasks),
        _throughput(line),
        _memory(line, contents.run.passes),
        _passes(line),
        x_axis(line.ticks(), "since the run began" if contents.run.started else "since the first task began"),
    ]
    return tag("figure", parts, class_="chart")


def _timeline(contents: Contents) -> _Timeline | None:
    """The timeline of the attempts of this run; restored tasks have no place in it."""
    tasks = contents.tasks
    if tasks is None:
        return None
    tasks = tasks.where(tasks.own)
    timed = np.flatnonzero(np.isfinite(tasks.seconds))
    if not timed.size:
        return None
    first = float(tasks.start[timed].min())
    began = min(contents.run.started or first, first)
    tasks = tasks.since(began)
    last = max(float(np.nanmax(tasks.stop)), first - began + 1e-3)
    lanes = _lanes(tasks, timed)
    return _Timeline(tasks, Scale(first - began, last), lanes[:_MOST_LANES], max(len(lanes) - _MOST_LANES, 0))


def _lanes(tasks: Tasks, timed: npt.NDArray[np.intp]) -> list[_Lane]:
    """Threads in the order they began, worker by worker; one lane for a whole worker if there are too many threads."""
    workers: dict[tuple[str, str], dict[str, list[int]]] = {}
    for task in timed[np.argsort(tasks.start[timed], kind="stable")].tolist():
        host, pid, thread = tasks.lane[task]
        workers.setdefault((host, pid), {}).setdefault(thread, []).append(task)
    by_thread = sum(map(len, workers.values())) <= _MOST_LANES
    lanes = []
    for number, ((host, pid), threads) in enumerate(workers.items(), 1):
        groups = list(threads.values()) if by_thread else [sorted(chain(*threads.values()))]
        for thread, rows in enumerate(groups, 1):
            suffix = f".{thread}" if len(groups) > 1 else ""
            name = f"worker {number}{suffix}" if len(workers) > 1 else f"thread {thread}"
            lanes.append(_Lane(name, f"{tasks.worker[rows[0]]}, host {host}, process {pid}", rows))
    return lanes


# --- lanes ----------------------------------------------------------------------------------------------------------


def _lane_panel(line: _Timeline, everything: Tasks) -> Markup:
    shares = _shares(line.tasks)
    marks = [*(_bars(line, shares) if line.few else _busy(line, shares)), *_failures(line), *_losses(line)]
    kinds = [key for key, share in zip(_SHARES, shares, strict=True) if key[0] != "compile" or share.any()]
    keys = legend([*kinds, *([("failed", "failed")] if "failed" in everything.status else [])])
    title = Markup("<b>tasks</b> {} {}").format(_tallied(line, everything), keys)
    return lanes(title, [lane[:2] for lane in line.lanes], marks, line.lane_height, line.ticks())


def _tallied(line: _Timeline, everything: Tasks) -> str:
    kinds = [(everything.status.count(kind), kind) for kind in ("done", "reused", "failed")]
    counts = ", ".join(f"{humanize.count(number)} {kind}" for number, kind in kinds if number)
    unseen = f", {humanize.plural(line.unseen, 'worker')} not shown" if line.unseen else ""
    return f"{counts}, thread by thread{unseen}" + ("" if line.few else ", as shares of the time")


def _shares(tasks: Tasks) -> Floats:
    """(5, attempts): seconds of fetch, decode, reduce, compiling and the rest.

    They are scaled where they overlap to the time there was.
    """
    parts = np.nan_to_num(np.stack([tasks.fetch, tasks.decode, tasks.reduce, tasks.compiling]))
    total = np.nan_to_num(tasks.seconds)
    parts *= np.minimum(1.0, total / np.maximum(parts.sum(axis=0), 1e-12))
    return np.concatenate([parts, np.maximum(total - parts.sum(axis=0), 0)[None]])


def _bars(line: _Timeline, shares: Floats) -> list[Markup]:
    """A bar for each attempt, as high as its shares of fetching, decoding and reducing."""
    height = line.lane_height
    heights = shares / np.maximum(shares.sum(axis=0), 1e-12) * (height - 4)
    tops = np.cumsum(heights, axis=0)
    marks = []
    for number, lane in enumerate(line.lanes):
        foot = (number + 1) * height - 2
        for task in lane.rows:
            left, right = line.across(line.tasks.start[task]), line.across(line.tasks.stop[task]) - 0.5
            parts = [
                box(left, right, foot - top, foot - top + high, css)
                for (css, _), top, high in zip(_SHARES, tops[:, task].tolist(), heights[:, task].tolist(), strict=True)
                if high > 0.05
            ]
            marks.append(tag("g", [tag("title", described(line.tasks, task)), *parts]))
    return marks


def _busy(line: _Timeline, shares: Floats) -> list[Markup]:
    """For each lane, how much of each moment went into what; a lane of several threads is full when all are busy."""
    x, height = line.x, line.lane_height
    bins = max(60, min(WIDTH // 2, _CELLS // len(line.lanes)))
    edges = np.linspace(x.low, x.high, bins + 1)
    plot = Plot(x, Scale(0, 1), height * len(line.lanes))
    marks = []
    for number, lane in enumerate(line.lanes):
        rows = np.array(lane.rows)
        start, stop = line.tasks.start[rows], line.tasks.stop[rows]
        parts = np.stack([spread_evenly(start, stop, share[rows], edges) for share in shares])
        levels = np.concatenate([np.zeros((1, bins)), np.cumsum(parts, axis=0)])
        levels /= max(float(levels[-1].max()), (x.high - x.low) / bins)
        part = Scale(1 - ((number + 1) * height - 2) / plot.height, 1 - (number * height + 2) / plot.height)
        bounds = zip(levels, levels[1:], _SHARES, strict=False)
        marks += [plot.steps(edges, low, high, css, part) for low, high, (css, _) in bounds]
    return marks


def _failures(line: _Timeline) -> list[Markup]:
    """A frame around each failed attempt."""
    tasks, height = line.tasks, line.lane_height
    failed = [
        (number, task) for number, lane in enumerate(line.lanes) for task in lane.rows if tasks.status[task] == "failed"
    ]
    marks = []
    for number, task in failed[:_MOST_MARKS]:
        right = line.across(tasks.stop[task])
        left = min(line.across(tasks.start[task]), right - 2)
        frame = box(left, right, number * height + 1, (number + 1) * height - 1, "failed")
        marks.append(tag("g", [tag("title", described(tasks, task)), frame]))
    return marks


def _losses(line: _Timeline) -> list[Markup]:
    """A line down all lanes where an attempt failed whose start or place is unknown."""
    tasks, height = line.tasks, line.lane_height * len(line.lanes)
    failed = np.array([status == "failed" for status in tasks.status], bool)
    lost = np.flatnonzero(failed & np.isnan(tasks.start) & np.isfinite(tasks.stop))
    return [
        tag(
            "path",
            tag("title", described(tasks, task)),
            class_="line lost",
            d=f"M{line.across(tasks.stop[task]):.1f},0V{height}",
        )
        for task in lost[:_MOST_MARKS].tolist()
    ]


# --- below the lanes ------------------------------------------------------------------------------------------------


def _passes(line: _Timeline) -> Markup:
    """The passes in time, if there are several."""
    names = np.array(line.tasks.pass_name)
    spans = []
    for name in dict.fromkeys(line.tasks.pass_name):
        rows = np.flatnonzero((names == name) & np.isfinite(line.tasks.seconds))
        if rows.size:
            left, right = line.across(line.tasks.start[rows].min()), line.across(line.tasks.stop[rows].max())
            style = f"left:{left / WIDTH:.2%};width:{(right - left) / WIDTH:.2%}"
            spans.append(tag("span", name, title=name, style=style))
    return tag("div", spans, class_="spans") if len(spans) > 1 else Markup()


def _throughput(line: _Timeline) -> Markup:
    """Bytes a second over time, each task's bytes spread over its time."""
    edges = np.linspace(line.x.low, line.x.high, _BINS + 1)
    bytes_ = spread_evenly(line.tasks.start, line.tasks.stop, line.tasks.bytes, edges)
    rate = bytes_ / ((line.x.high - line.x.low) / _BINS)
    if not rate.any():
        return Markup()
    plot = Plot(line.x, Scale(0, 1.08 * scale_of(rate, zero=True).high), 90)
    marks = [plot.steps(edges, np.zeros(_BINS), rate, "series0")]
    return panel(Markup("<b>throughput</b> fetched"), 90, marks, byte_ticks(plot.y, 3, "/s"), line.ticks())


def _memory(line: _Timeline, passes: tuple[PassFacts, ...]) -> Markup:
    """The most that each worker process has held so far, against what the plan allows one."""
    tasks = line.tasks
    measured = np.flatnonzero(np.isfinite(tasks.peak_bytes) & np.isfinite(tasks.stop))
    if not measured.size:
        return Markup()
    processes: dict[tuple[str, str], list[int]] = {}
    for task in measured[np.argsort(tasks.stop[measured], kind="stable")].tolist():
        processes.setdefault(tasks.lane[task][:2], []).append(task)
    most = sorted(processes.values(), key=lambda rows: -float(tasks.peak_bytes[rows].max()))[:_MOST_PROCESSES]
    planned = max((pass_.worker_bytes for pass_ in passes if pass_.worker_bytes), default=None)
    plot = Plot(line.x, Scale(0, 1.12 * max(float(tasks.peak_bytes[measured].max()), planned or 0.0)), 90)
    marks = [_climb(plot, tasks, rows) for rows in most]
    keys = [("series0", "so far, by process" if len(processes) > 1 else "so far")]
    if planned:
        marks.append(plot.rule(planned, "plan", f"planned: {humanize.size(planned)}"))
        keys.append(("plan", f"planned, {humanize.size(planned)}"))
    title = Markup("<b>memory</b> most held by a worker process {}").format(legend(keys))
    return panel(title, 90, marks, byte_ticks(plot.y, 3), line.ticks())


def _climb(plot: Plot, tasks: Tasks, rows: list[int]) -> Markup:
    """A staircase of the highest so far, from the start of the first task on; of many steps only those that rise."""
    most = np.maximum.accumulate(tasks.peak_bytes[rows])
    rises = np.flatnonzero(np.diff(most, prepend=-1.0) > 0)
    start = np.nan_to_num(np.nanmin(tasks.start[rows], initial=np.inf), nan=0.0, posinf=tasks.stop[rows[0]])
    xs = np.concatenate([[start], tasks.stop[rows][rises[1:]], [tasks.stop[rows[-1]]]])
    ys = np.append(most[rises], most[-1])
    return plot.line(np.repeat(xs, 2)[1:-1], np.repeat(ys[:-1], 2), "series0")
