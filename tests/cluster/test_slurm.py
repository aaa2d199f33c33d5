"""A real Slurm: an end-to-end run, queues that do not start or refuse, jobs that are cancelled or end by themselves."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dask
import psutil
import pytest
import slurm
from jobs import Cli
from waiting import LONG, lives, wait_until
from worker_tasks import together

from runner.cluster import job_queue
from runner.cluster.open import open_cluster
from runner.errors import ClusterError
from runner.settings import AdaptSettings, ClusterKind, ClusterSettings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(slurm.missing_programs()), reason=str(slurm.missing_programs())),
]

Environment = dict[str, str]
JOBS = ("cluster=slurm", "cluster.cores=1", "cluster.memory=1GiB", "cluster.processes=1", "cluster.interface=lo",
        "cluster.walltime=00:10:00")  # fmt: skip


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    with slurm.slurm(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


@pytest.fixture
def here(nodes: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    """This process finds Slurm, and jobs find the tasks of tests."""
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, nodes[name])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.chdir(tmp_path)
    return nodes


def job_settings(jobs: int | None, **changes: object) -> ClusterSettings:
    settings = {"cores": 1, "memory": "1GiB", "processes": 1, "interface": "lo", "walltime": "00:10:00", **changes}
    return ClusterSettings(ClusterKind.slurm, jobs=jobs, start_timeout=LONG, **settings)  # type: ignore[arg-type]


def results_of(folder: Path) -> dict[str, str]:
    """The digests of a run's values."""
    outputs = json.loads((folder / "outputs.json").read_text())
    return {one["name"]: json.dumps(one["values"]) for one in outputs["files"]}


def test_a_run_on_slurm_has_the_bits_of_a_run_on_threads(cli: Cli, folder_of_scenes: Path, nodes: Environment) -> None:
    words = ("source=local", f"source.url={folder_of_scenes}/*.tif", "chunks.y=256")
    on_slurm = cli(*words, *JOBS, "cluster.n_workers=2", "output.dir=slurm", env=nodes)
    assert on_slurm.returncode == 0, on_slurm.stderr
    assert re.search(r"\(slurm, [12] threads?\)", on_slurm.stderr)  # the second job may come too late
    cli(*words, "output.dir=threads")
    folder = folder_of_scenes.parent
    assert results_of(folder / "slurm") == results_of(folder / "threads")
    wait_until(lambda: not slurm.queued(nodes))


def test_what_is_not_set_is_taken_from_the_users_file(
    cli: Cli, folder_of_scenes: Path, nodes: Environment, tmp_path: Path
) -> None:
    (tmp_path / "dask").mkdir()
    (tmp_path / "dask/jobqueue.yaml").write_text(
        "jobqueue: {slurm: {cores: 2, memory: 2GiB, processes: 2, interface: lo, walltime: '00:05:00'}}"
    )
    words = ("source=local", f"source.url={folder_of_scenes}/*.tif", "cluster=slurm", "output.dir=out")
    done = cli(*words, env={**nodes, "DASK_CONFIG": str(tmp_path / "dask")})
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out/run.json").read_text())["passes"][0]["cluster"]["threads"] in (1, 2)


def test_a_queue_that_never_starts_ends_the_run_with_its_reason(
    cli: Cli, folder_of_scenes: Path, nodes: Environment
) -> None:
    words = ("source=local", f"source.url={folder_of_scenes}/*.tif", "cluster.queue=closed", "cluster.start_timeout=5")
    done = cli(*words, *JOBS, env=nodes)
    assert done.returncode == 1
    assert "no worker came within cluster.start_timeout=5 s: squeue says: job" in done.stderr
    assert "PENDING" in done.stderr
    assert "#SBATCH -p closed" in done.stderr
    assert "Traceback" not in done.stderr
    assert not slurm.queued(nodes)


def test_a_queue_that_refuses_the_job_is_quoted(here: Environment) -> None:
    with (
        pytest.raises(
            ClusterError, match="(?s)the queue refuses the job: sbatch: .*invalid partition.*#SBATCH -p nowhere"
        ),
        open_cluster(job_settings(1, queue="nowhere"), {}),
    ):
        pytest.fail("there is a cluster")


def test_jobs_that_end_at_once_are_not_waited_for(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_queue, "RENEW_SECONDS", 3.0)
    prologue = ["echo there is no such module >&2", "exit 1"]
    with (
        pytest.raises(
            ClusterError, match=r"(?s)1 job \d+ ended before a worker came \(in job_logs: there is no such module"
        ),
        open_cluster(job_settings(1, job_script_prologue=prologue), {}),
    ):
        pytest.fail("there is a cluster")


def test_ctrl_c_while_jobs_wait_leaves_nothing_in_the_queue(folder_of_scenes: Path, nodes: Environment) -> None:
    words = ("source=local", f"source.url={folder_of_scenes}/*.tif", "cluster.queue=closed", *JOBS)
    command = [sys.executable, "-m", "runner", *words]
    with subprocess.Popen(command, env=nodes, cwd=folder_of_scenes.parent, stderr=subprocess.PIPE) as process:
        wait_until(lambda: slurm.queued(nodes))
        process.send_signal(signal.SIGINT)
        assert process.wait(LONG) == 130
    assert not slurm.queued(nodes)


def test_a_cancelled_job_is_made_up_for(here: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_queue, "RENEW_SECONDS", 1.0)
    (tmp_path / "meeting").mkdir()
    with open_cluster(job_settings(2), {"GDAL_HTTP_MAX_RETRY": "7"}) as cluster:
        numbers, pids = [], set()
        for number, pid in cluster.map(
            together, (tmp_path / "meeting", {0: 2, 60: 3}, 0.05), list(range(100)), lambda: None
        ):
            numbers.append(number)
            pids.add(pid)
            if len(numbers) == 20:
                first = slurm.queued(here)[0].split()[0]
                subprocess.run(["scancel", first], env=here, check=True)
        assert sorted(numbers) == list(range(100))
        assert len(pids) == 3
        assert len(cluster.watch.losses()) == 1


def suspend_all_of_the_job(_: Environment, pid: int) -> None:
    """A worker, its nanny, and the other workers of the same nanny."""
    nanny = psutil.Process(pid).parent()
    assert nanny is not None
    for each in (nanny, *nanny.children()):
        each.suspend()


def cancel_the_job(here: Environment, _: int) -> None:
    subprocess.run(["scancel", slurm.queued(here)[0].split()[0]], env=here, check=True)


@pytest.mark.parametrize("fault", [suspend_all_of_the_job, cancel_the_job])
@pytest.mark.parametrize(
    "changes",
    [{"processes": 2, "cores": 2}, {"jobs": None, "adapt": AdaptSettings(minimum=1, maximum=1)}],
    ids=["a job of two workers", "adapted"],
)
def test_a_job_whose_workers_are_all_lost_is_cancelled_and_another_submitted(
    here: Environment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
    fault: Callable[[Environment, int], None],
) -> None:
    monkeypatch.setattr(job_queue, "RENEW_SECONDS", 3.0)
    (tmp_path / "meeting").mkdir()
    settings = job_settings(**{"jobs": 1, "silent_timeout": 10.0, **changes})  # type: ignore[arg-type]
    first: list[str] = []
    workers = settings.processes or 1
    with open_cluster(settings, {}) as cluster:
        numbers, pids = [], set()
        meeting = (tmp_path / "meeting", {0: workers, 20: 2 * workers}, 0.1)
        for number, pid in cluster.map(together, meeting, list(range(40)), lambda: None):
            numbers.append(number)
            pids.add(pid)
            if len(pids) == workers and not first:
                first = slurm.queued(here)
                fault(here, pid)
        assert sorted(numbers) == list(range(40))
        assert len(pids) == 2 * workers
        wait_until(lambda: len(slurm.queued(here)) == 1)
        assert slurm.queued(here) != first


def test_a_suspended_worker_is_ended_in_its_job(here: Environment, tmp_path: Path) -> None:
    (tmp_path / "meeting").mkdir()
    suspended = 0
    with open_cluster(job_settings(1, cores=2, processes=2, silent_timeout=10.0), {}) as cluster:
        jobs, numbers = slurm.queued(here), []
        for number, pid in cluster.map(
            together, (tmp_path / "meeting", {0: 2, 20: 3}, 0.1), list(range(40)), lambda: None
        ):
            numbers.append(number)
            if not suspended:
                suspended = pid
                os.kill(pid, signal.SIGSTOP)
        assert sorted(numbers) == list(range(40))
        assert not lives(suspended)
        assert slurm.queued(here) == jobs


def test_an_only_job_is_made_up_for_though_it_ends_between_two_looks(here: Environment, tmp_path: Path) -> None:
    (tmp_path / "meeting").mkdir()
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"}),
        open_cluster(job_settings(1), {}) as cluster,
    ):
        answers = []
        for answer in cluster.map(together, (tmp_path / "meeting", {0: 1}, 0.05), list(range(20)), lambda: None):
            answers.append(answer)
            if len(answers) == 5:
                subprocess.run(["scancel", slurm.queued(here)[0].split()[0]], env=here, check=True)
        assert sorted(number for number, _ in answers) == list(range(20))
        assert len({pid for _, pid in answers}) == 2


def test_workers_leave_before_the_walltime_and_others_go_on(
    here: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_queue, "RENEW_SECONDS", 1.0)
    (tmp_path / "meeting").mkdir()
    settings = job_settings(1, walltime="00:01:00")
    with open_cluster(settings, {}) as cluster:
        answers = list(cluster.map(together, (tmp_path / "meeting", {0: 1}, 0.5), list(range(115)), lambda: None))
        assert sorted(number for number, _ in answers) == list(range(115))
        assert len({pid for _, pid in answers}) == 2


def test_the_number_of_jobs_grows_while_tasks_wait_and_falls_at_their_end(here: Environment, tmp_path: Path) -> None:
    (tmp_path / "meeting").mkdir()
    settings = job_settings(1)
    settings.jobs, settings.adapt = None, AdaptSettings(minimum=1, maximum=2, interval=0.5, patience=2)
    with open_cluster(settings, {}) as cluster:
        assert cluster.size.n_workers == 1
        answers = list(cluster.map(together, (tmp_path / "meeting", {0: 1}, 0.2), list(range(100)), lambda: None))
        assert sorted(number for number, _ in answers) == list(range(100))
        assert len({pid for _, pid in answers}) == 2
        wait_until(lambda: len(cluster.everywhere(os.getpid)) == 1)
        assert (cluster.size.n_workers, cluster.size.threads) == (2, 2)
