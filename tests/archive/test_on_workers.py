"""An archive on dask workers: the bytes of one machine, whatever becomes of workers, schedulers and the driver."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from buckets import KEYS, moto_bucket, relay
from dask_cluster import DaskCluster, dask_cluster
from distributed import Client
from jobs import Cli, Typed
from scripted_server import Answer, Asked, error, scripted_server
from stack_archives import BY, DAYS, Tile, damage, rows, same_results, source_words, statuses, write_archive
from typed import typed as typed_in
from waiting import LONG, wait_until

from runner.archive.on_workers import _most, largest_first
from runner.model import StoredObject
from runner.record.run_folder import read_run
from runner.source.names import Candidate
from runner.source.parts import Part


def assert_same(folder: Path, other: Path) -> None:
    """Every stack has results of the same bytes, and so has the table of all."""
    names = sorted(path.name for path in (other / "stacks").iterdir())
    assert sorted(path.name for path in (folder / "stacks").iterdir()) == names
    files = ("spatial_mean.parquet", "temporal_mean.tif", "temporal_count.tif")
    assert all(same_results(folder / "stacks" / name, other / "stacks" / name, files) for name in names)
    assert (folder / "spatial_mean.parquet").read_bytes() == (other / "spatial_mean.parquet").read_bytes()


def on(cluster: DaskCluster) -> list[str]:
    return ["archive.cluster=address", f"archive.cluster.address={cluster.address}"]


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[DaskCluster]:
    """Processes that a test may kill or suspend; two workers, unless a test asks for fewer."""
    with dask_cluster(tmp_path / "dask", getattr(request, "param", 2)) as started:
        yield started


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """Workers that tests leave as they are, and that have loaded everything after the first of them."""
    with dask_cluster(tmp_path_factory.mktemp("dask")) as started:
        yield started


@dataclass(frozen=True)
class Archive:
    """An archive of many stacks, which tests leave as it is, and a run of it in one process."""

    root: Path
    here: Path


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    folder = tmp_path_factory.mktemp("many")
    archive = Archive(write_archive(folder / "data", tiles=20), folder / "here")
    assert typed_in(folder, *source_words(archive.root), BY, f"output.dir={archive.here}").returncode == 0
    return archive


# --- what is handed out -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "workers", "most"),
    [(1000, 2, 4), (16, 2, 4), (12, 2, 3), (8, 2, 2), (2, 2, 2), (1, 2, 2), (1000, 1000, 2)],
)
def test_a_worker_has_several_stacks_and_fewer_near_the_end(left: int, workers: int, most: int) -> None:
    assert _most(4, left, workers) == most


def part(name: str, *sizes: int | None) -> Part:
    time = datetime(2020, 1, 6, tzinfo=UTC)
    return Part(name, {}, tuple(Candidate(StoredObject(name, size, None, None), name, time, {}) for size in sizes))


@pytest.mark.parametrize(
    ("parts", "order"),
    [
        ([part("small", 1, 1, 1), part("large", 9), part("middle", 2, 3)], ["large", "middle", "small"]),
        ([part("few", None), part("many", 1, 1, 1), part("some", 9, 9)], ["many", "some", "few"]),
    ],
    ids=["by bytes", "by scenes where bytes are not listed"],
)
def test_the_largest_stacks_come_first(parts: list[Part], order: list[str]) -> None:
    assert [one.name for one in largest_first(parts)] == order


# --- whole runs -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_stacks_run_on_workers_as_they_run_here_and_a_row_is_small(
    cli: Cli, typed: Typed, tmp_path: Path, lasting: DaskCluster
) -> None:
    root, out = write_archive(tmp_path / "data", tiles=6), tmp_path / "out"
    assert typed(*source_words(root), BY, "output.dir=here").returncode == 0
    done = cli(*source_words(root), BY, "output.dir=out", *on(lasting))
    assert done.returncode == 0, done.stderr
    assert f"stacks run on 2 workers of {lasting.address}, 2 threads in all" in done.stderr
    assert_same(out, tmp_path / "here")
    pids = {lasting.processes[name].pid for name in ("w0", "w1")}
    assert {int(str(row.worker).rpartition(":")[2]) for row in rows(out).values()} == pids
    assert all(len(pickle.dumps(row)) < 2000 for row in rows(out).values())
    assert all(row.started and row.seconds for row in rows(out).values())
    stack = out / "stacks/10T00_VV"
    mine, alone = read_run(stack).record, read_run(tmp_path / "here/stacks/10T00_VV").record
    assert (mine.versions, mine.code, mine.config_sha256) == (alone.versions, alone.code, alone.config_sha256)
    assert mine.pid in pids
    assert {path.name for path in stack.iterdir()} == {
        path.name for path in (tmp_path / "here/stacks/10T00_VV").iterdir()
    }
    for verb in ("verify", "rerun"):
        assert typed("log", verb, str(stack)).returncode == 0
    assert typed("log", "verify", "out").returncode == 0
    with Client(lasting.address) as client:  # whose workers keep what they see of tasks
        assert "worker_session" not in str(client.profile())


@pytest.mark.slow
def test_workers_of_our_own_run_an_archive_and_failed_stacks_are_rows(cli: Cli, typed: Typed, tmp_path: Path) -> None:
    root, out = write_archive(tmp_path / "data", tiles=3), tmp_path / "out"
    bad = Tile(1).path(root, "VV", DAYS[1])
    whole = damage(bad)
    workers = ["archive.cluster=processes", "archive.cluster.n_workers=2"]
    done = cli(*source_words(root), BY, "output.dir=out", "archive.on_error=continue", *workers)
    assert done.returncode == 1
    assert "error: 1 stack failed: 10T01_VV: " in done.stderr
    assert f"{bad}: " in done.stderr
    assert sorted(statuses(out).values()) == ["COMPLETED"] * 5 + ["FAILED"]
    bad.write_bytes(whole)
    again = cli("log", "resume", "out")
    assert again.returncode == 0, again.stderr
    assert typed(*source_words(root), BY, "output.dir=here").returncode == 0
    assert_same(out, tmp_path / "here")


@pytest.mark.slow
def test_the_plan_asks_the_scheduler_for_the_workers_that_stacks_run_on(
    cli: Cli, tmp_path: Path, lasting: DaskCluster
) -> None:
    root = write_archive(tmp_path / "data", tiles=2)
    done = cli(*source_words(root), BY, *on(lasting), "action=plan")
    assert done.returncode == 0, done.stderr
    assert "stacks run on 2 workers (archive.cluster=address), 1 thread and 1.07 GB each" in done.stdout
    assert "each worker holds up to" in done.stdout
    gone = cli(
        *source_words(root), BY, "archive.cluster=address", "archive.cluster.address=tcp://127.0.0.1:1", "action=plan",
        "archive.cluster.start_timeout=1",
    )  # fmt: skip
    assert gone.returncode == 1
    assert "archive.cluster" in gone.stderr


@pytest.mark.slow
def test_the_first_failure_stops_the_stacks_on_all_workers(cli: Cli, tmp_path: Path, lasting: DaskCluster) -> None:
    root = write_archive(tmp_path / "data", tiles=12)
    for day in DAYS:
        damage(Tile(0).path(root, "VV", day))
    done = cli(*source_words(root), BY, "output.dir=out", *on(lasting))
    assert done.returncode == 1
    assert "archive.on_error=continue goes on with the others" in done.stderr
    ended = statuses(tmp_path / "out")
    assert ended["10T00_VV"] == "FAILED"
    assert list(ended.values()).count("FAILED") == 1
    assert "RUNNING" not in ended.values()


@pytest.mark.slow
def test_a_worker_killed_in_mid_stack_costs_nothing_and_one_that_comes_late_is_used(
    tmp_path: Path, cluster: DaskCluster, many: Archive
) -> None:
    out = tmp_path / "out"
    with started(tmp_path, *source_words(many.root), BY, "output.dir=out", *on(cluster)) as process:
        wait_until(lambda: len(list(out.glob("stacks/*/outputs.json"))) >= 4)
        cluster.start_worker("late")
        cluster.kill("w0")
        assert process.wait(LONG) == 0, (tmp_path / "stderr").read_text()
    assert_same(out, many.here)
    by_pid = [int(str(row.worker).rpartition(":")[2]) for row in rows(out).values()]
    assert cluster.pid("late") in by_pid
    assert "was lost with a task" in (out / "run.log").read_text()


@pytest.mark.slow
def test_a_worker_suspended_in_mid_stack_is_given_up_and_its_process_named_if_it_keeps_a_stack(
    cli: Cli, typed: Typed, tmp_path: Path, cluster: DaskCluster
) -> None:
    root, out = write_archive(tmp_path / "data", tiles=8), tmp_path / "out"
    suspended = cluster.processes["w0"].pid
    words = [*on(cluster), "archive.cluster.silent_timeout=10", "archive.on_error=continue"]  # a busy machine is slow
    with started(tmp_path, *source_words(root), BY, "output.dir=out", *words) as process:
        wait_until(lambda: len(list(out.glob("stacks/*/outputs.json"))) >= 4 or process.poll() is not None)
        os.kill(suspended, signal.SIGSTOP)
        code = process.wait(LONG)
    said = (tmp_path / "stderr").read_text()
    failed = [row for row in rows(out).values() if row.status == "FAILED"]
    assert code == (1 if failed else 0), said
    assert all(f"process {suspended} on " in str(row.error) for row in failed), said
    assert all("end that process, and resume" in str(row.error) for row in failed)
    cluster.kill("w0")
    assert cli("log", "resume", "out").returncode == 0
    assert typed(*source_words(root), BY, "output.dir=here").returncode == 0
    assert_same(out, tmp_path / "here")


@pytest.mark.slow
def test_the_stack_of_a_worker_that_is_suspended_is_not_running_once_the_archive_has_ended(
    tmp_path: Path, cluster: DaskCluster
) -> None:
    root, out = write_archive(tmp_path / "data", tiles=12), tmp_path / "out"
    suspended = {cluster.processes[name].pid for name in ("w0", "w1")}
    with started(tmp_path, *source_words(root), BY, "output.dir=out", *on(cluster)) as process:
        wait_until(lambda: len(list(out.glob("stacks/*/outputs.json"))) >= 2)
        for pid in suspended:
            os.kill(pid, signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        asked = time.monotonic()
        assert process.wait(LONG) == 130
        assert time.monotonic() - asked < 25
    left = [row for row in rows(out).values() if row.error]
    assert "RUNNING" not in statuses(out).values()
    assert left
    for row in left:
        assert row.status == "INTERRUPTED"
        assert any(f"process {pid} on " in str(row.error) for pid in suspended)
        assert "its worker, did not end its run in time; end that process, and resume" in str(row.error)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_stops_stacks_on_workers_which_stay_and_resume_goes_on(
    cli: Cli, tmp_path: Path, lasting: DaskCluster, many: Archive, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "out"
    with started(tmp_path, *source_words(many.root), BY, "output.dir=out", *on(lasting)) as process:
        wait_until(lambda: len(list(out.glob("stacks/*/outputs.json"))) >= 4)
        process.send_signal(number)
        asked = time.monotonic()
        assert process.wait(LONG) == code
        assert time.monotonic() - asked < 20
    assert read_run(out).status == "INTERRUPTED"
    assert "RUNNING" not in statuses(out).values()
    assert "WAITING" in statuses(out).values()
    assert cli("log", "resume", "out").returncode == 0
    assert_same(out, many.here)


@pytest.mark.slow
def test_stacks_of_a_driver_that_is_killed_end_on_their_workers(
    tmp_path: Path, cli: Cli, lasting: DaskCluster, many: Archive
) -> None:
    out = tmp_path / "out"
    with started(tmp_path, *source_words(many.root), BY, "output.dir=out", *on(lasting)) as process:
        wait_until(lambda: len(list(out.glob("stacks/*/outputs.json"))) >= 4)
        process.kill()
        process.wait(LONG)
    assert read_run(out).status == "KILLED"
    wait_until(lambda: all(read_run(folder).status != "RUNNING" for folder in (out / "stacks").iterdir()))
    assert cli("log", "resume", "out").returncode == 0
    assert set(statuses(out).values()) == {"COMPLETED"}


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [1], indirect=True)
def test_a_scheduler_that_is_lost_ends_the_run_as_a_fault_of_the_cluster_and_it_can_be_resumed_elsewhere(
    cli: Cli, tmp_path: Path, cluster: DaskCluster, many: Archive
) -> None:
    out = tmp_path / "out"
    with started(tmp_path, *source_words(many.root), BY, "output.dir=out", *on(cluster)) as process:
        wait_until(lambda: len(list(out.glob("stacks/*/outputs.json"))) >= 4)
        cluster.kill("scheduler")
        assert process.wait(LONG) == 1
    said = (tmp_path / "stderr").read_text()
    assert f"error: the dask scheduler at {cluster.address} is gone or does not answer" in said
    assert "stacks complete; to go on, once that is fixed: " in said
    assert read_run(out).status == "FAILED"
    again = cli("log", "resume", "out", "--", "archive.cluster=processes")
    assert again.returncode == 0, again.stderr
    assert_same(out, many.here)


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [0], indirect=True)
def test_a_worker_that_does_not_see_the_folder_is_named_before_it_writes_anything(
    cli: Cli, tmp_path: Path, cluster: DaskCluster
) -> None:
    if os.geteuid() or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs namespaces of its own for mounts")
    root = write_archive(tmp_path / "data", tiles=1)
    (tmp_path / "results").mkdir()
    hidden = tmp_path / "python"
    hidden.write_text(f'#!/bin/sh\nexec unshare -m sh -c \'mount -t tmpfs none {tmp_path}/results && exec "$@"\' sh '
                      f'{sys.executable} "$@"\n')  # fmt: skip
    hidden.chmod(0o755)
    cluster.start_worker("blind", python=str(hidden))
    done = cli(*source_words(root), BY, f"output.dir={tmp_path}/results/out", *on(cluster))
    assert done.returncode == 1
    assert f"does not see {tmp_path}/results/out, where the archive's run writes; set output.dir to" in done.stderr
    assert not (tmp_path / "results/out/stacks").exists()


@pytest.mark.slow
def test_a_worker_with_other_credentials_is_named_before_any_stack_runs(
    cli: Cli, tmp_path: Path, lasting: DaskCluster
) -> None:
    root = write_archive(tmp_path / "data", tiles=1)
    with moto_bucket() as bucket:
        for path in root.rglob("*.tif"):
            bucket.put(f"scenes/{path.relative_to(root)}", path.read_bytes())

        def script(asked: Asked) -> Answer:
            known = f"Credential={KEYS['AWS_ACCESS_KEY_ID']}/" in asked.headers.get("authorization", "")
            return relay(bucket.endpoint)(asked) if known else error(403, "AccessDenied")

        with scripted_server(script) as server:  # the workers were started before the credentials were there
            source = [word for word in source_words(root) if not word.startswith("source.url")]
            words = [*source, "source.url=s3://results/scenes/**/*.tif", f"source.s3.endpoint_url={server.endpoint}"]
            done = cli(*words, BY, "output.dir=out", *on(lasting))
    assert done.returncode == 1
    assert "error: worker tcp://" in done.stderr
    assert "it cannot read s3://results/scenes/" in done.stderr
    assert not list((tmp_path / "out").glob("stacks/*"))


def started(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """A run that a test interrupts."""
    with (folder / "stderr").open("wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "runner", *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=errors
        )
