"""run.json as a record; of any version, whole or not."""

from runner.base import humanize
from runner.record.run_folder import status, unended
from runner.report.records import Attempt, PassFacts, Problem, Run, StackFacts
from runner.report.tree import Tree


def run_facts(tree: Tree) -> Run:
    """What run.json says; everything unknown of an empty tree."""
    return Run(
        status=status(tree.mapping()),
        exit_code=tree.number("exit_code"),
        problem=_problem(tree),
        started=tree.time("started"),
        ended=tree.time("ended"),
        heartbeat=tree.time("heartbeat"),
        seconds=tree.number("seconds"),
        overrides=tree.texts("overrides"),
        config_flags=tree.texts("config_flags"),
        config=tree.mapping("config"),
        passes=tuple(map(_pass_facts, tree.items("passes"))),
        stack=_stack_facts(tree.at("stack")),
        phases={name: seconds for name in tree.mapping("phases") if (seconds := tree.number("phases", name))},
        outputs=tree.texts("outputs"),
        environment=_environment(tree),
        versions=tree.pairs("versions"),
        dask=tree.pairs("dask"),
        gdal=_gdal_options(tree),
        commit=tree.text("code", "commit"),
        dirty=tree.text("code", "dirty") == "true",
        diff=tree.text("code", "diff"),
        attempts=tuple(map(_attempt, tree.items("attempts"))),
    )


def _attempt(tree: Tree) -> Attempt:
    said = tree.text("status") or humanize.UNKNOWN
    ended = tree.time("heartbeat")
    started, seconds = tree.time("started"), tree.number("seconds")
    if seconds is None and started is not None and ended is not None:
        seconds = max(ended - started, 0.0)
    return Attempt(started, seconds, "KILLED" if said == "RUNNING" else said)  # or it could not have been resumed


def _problem(tree: Tree) -> Problem | None:
    error = tree.at("error")
    if error.text() is not None:  # a schema before 2
        kind, _, message = str(error.text()).partition(": ")
        return Problem(kind, message or kind, ())
    if not error.mapping():
        return None
    stages = error.texts("stages")
    place = [
        ("pass", error.text("pass")),
        ("stages", ", ".join(stages) if "+".join(stages) != error.text("pass") else ""),
        ("scene", error.text("scene")),
        ("block", _block(error.at("block"))),
    ]
    known = tuple((name, said) for name, said in place if said)
    return Problem(error.text("kind") or "Error", error.text("message") or "", known)


def _block(block: Tree) -> str:
    row, column, height, width, start, stop = map(block.number, ("row", "column", "height", "width", "start", "stop"))
    if row is None or column is None or height is None or width is None:
        return ""
    window = f"rows {humanize.span(row, row + height)}, columns {humanize.span(column, column + width)}"
    return window if start is None or stop is None else f"{window}, scenes {humanize.span(start, stop)}"


def _pass_facts(tree: Tree) -> PassFacts:
    workers, threads = tree.number("cluster", "n_workers"), tree.number("cluster", "threads")
    size = (
        f", {humanize.plural(workers, 'process', 'processes')}, {humanize.plural(threads, 'thread')}" if workers else ""
    )
    chunks = [humanize.count(tree.number("chunks", axis)) for axis in ("time", "y", "x")]
    return PassFacts(
        name=tree.text("name") or humanize.UNKNOWN,
        cluster=f"{tree.text('cluster', 'kind') or humanize.UNKNOWN}{size}",
        workers=workers,
        chunks=humanize.by(chunks),
        tasks=tree.number("tasks"),
        planned_requests=tree.number("planned", "requests"),
        planned_bytes=tree.number("planned", "stored_bytes"),
        worker_bytes=tree.number("planned", "worker_bytes"),
        requests=tree.number("fetched", "requests"),
        bytes=tree.number("fetched", "bytes"),
        retries=tree.number("fetched", "retries"),
        start_seconds=tree.number("start_seconds"),
        compute_seconds=tree.number("compute_seconds"),
        read_seconds=tree.number("read_seconds"),
        reduce_seconds=tree.number("reduce_seconds"),
        compile_seconds=tree.number("compile_seconds"),
        cpu_seconds=tree.number("cpu_seconds"),
        workers_lost=tree.number("workers_lost"),
        reused=tree.number("reused"),
        peak_bytes=tree.number("peak_bytes"),
        ended=not unended(tree.mapping()),
    )


def _stack_facts(tree: Tree) -> StackFacts | None:
    if not tree.mapping():
        return None
    height, width = tree.number("height"), tree.number("width")
    return StackFacts(
        name=tree.text("name") or humanize.UNKNOWN,
        scenes=tree.number("scenes"),
        left_out=tree.number("left_out"),
        shape=None if height is None or width is None else (height, width),
        dtype=tree.text("dtype"),
        nodata=tree.text("nodata"),
        crs=tree.text("crs"),
        transform=_transform(tree),
        first_time=tree.time("first_datetime"),
        last_time=tree.time("last_datetime"),
        units=tree.text("units"),
    )


def _transform(tree: Tree) -> tuple[float, float, float, float, float, float] | None:
    numbers = [item.number() for item in tree.items("transform")]
    known = [number for number in numbers if number is not None]
    return (known[0], known[1], known[2], known[3], known[4], known[5]) if len(known) == len(numbers) == 6 else None


def _environment(tree: Tree) -> tuple[tuple[str, str], ...]:
    limit = tree.number("cgroup", "memory_limit_bytes")
    facts = [
        ("host", tree.text("host")),
        ("platform", tree.text("platform")),
        ("Python", tree.text("python")),
        ("cores", tree.text("cores")),
        ("cores allowed", tree.text("cgroup", "cpu_limit")),
        ("memory", humanize.size(tree.number("memory_bytes")) if tree.number("memory_bytes") else None),
        ("memory allowed", humanize.size(limit) if limit else None),
        ("pid", tree.text("pid")),
        ("version of the kernels", tree.text("kernels")),
        ("resumed from", tree.text("resumed_from")),
        ("rerun of", tree.text("rerun_of")),
        ("config sha256", tree.text("config_sha256")),
    ]
    return tuple((name, said) for name, said in facts if said)


def _gdal_options(tree: Tree) -> tuple[tuple[str, str], ...]:
    """The options of all workers; where workers differ, every value."""
    found: dict[str, dict[str, None]] = {}
    for one in tree.items("passes"):
        for worker in one.mapping("gdal_options").values():
            for name, value in Tree(worker).pairs():
                found.setdefault(name, {})[value] = None
    return tuple((name, ", ".join(values)) for name, values in sorted(found.items()))
