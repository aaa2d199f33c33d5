"""Jobs in queues without a queue: what a job needs, how walltimes are read, and what is said where no job starts."""

import os
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import pytest

from runner.cluster.job_queue import _made, _memory_of_cores, job_size
from runner.cluster.job_settings import leaving, refuse_missing, value_of, why_no_job
from runner.cluster.lost_jobs import LostJobs
from runner.cluster.open import open_cluster
from runner.cluster.queue_reasons import reasons_of, why_refused
from runner.cluster.walltime import refusal, walltime_seconds
from runner.errors import ClusterError
from runner.settings import AdaptSettings, ClusterKind, ClusterSettings

pytest.importorskip("dask_jobqueue", reason="pip install dask-jobqueue")
QUEUES = [kind for kind in ClusterKind if kind.is_queue]


def job_of(kind: ClusterKind, **changes: Any) -> ClusterSettings:
    options = ["disk=1GB"] if kind is ClusterKind.htcondor else []
    given = {"cores": 1, "memory": "1GiB", "processes": 1, "interface": "lo", "options": options, **changes}
    return ClusterSettings(kind, **given)


# --- walltimes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", (1800, 30, 30, 1800, 30 * 3600)),
        ("00:05", (5, 5, None, 300, 300)),
        ("10:30", (630, 630, None, 37800, 37800)),
        ("02:00:00", (7200, 7200, 7200, None, 7200)),
        ("1-12", (129600, None, None, None, None)),
        ("1-12:00:10", (129610, None, None, None, None)),
        ("1:2:3:4", (None, None, None, None, None)),
        ("3d", (None, None, None, None, None)),
        ("None", (None, None, None, None, None)),
    ],
)
def test_a_walltime_is_read_as_its_queue_reads_it(text: str, seconds: tuple[float | None, ...]) -> None:
    queues = (ClusterKind.slurm, ClusterKind.pbs, ClusterKind.sge, ClusterKind.lsf, ClusterKind.oar)
    assert tuple(walltime_seconds(kind, text) for kind in queues) == seconds
    assert walltime_seconds(ClusterKind.htcondor, text) is None


@pytest.mark.parametrize(
    ("kind", "text", "wanted"),
    [
        ("slurm", "00:05", "a minute or more, or workers cannot do anything; slurm reads it as 5 s, by MM, MM:SS, "),
        ("pbs", "30", "a minute or more, or workers cannot do anything; pbs reads it as 30 s, by SS, "),
        ("lsf", "02:00:00", "a time as lsf reads it: MM or HH:MM"),
        ("sge", "02:00", "a time as sge reads it: SS or HH:MM:SS"),
        ("lsf", "00:05", ""),
        ("slurm", "1", ""),
        ("slurm", "0", ""),  # no limit
        ("pbs", "0", "a minute or more, or workers cannot do anything; pbs reads it as 0 s, by SS, "),
    ],
)
def test_a_walltime_that_does_not_fit_is_refused_with_how_it_is_read(kind: str, text: str, wanted: str) -> None:
    refused = refusal(ClusterKind[kind], text)
    assert refused.startswith(wanted)
    assert bool(refused) is bool(wanted)


@pytest.mark.parametrize(
    ("kind", "walltime", "options", "words"),
    [
        ("slurm", "01:00:00", [], "--lifetime 3510s --lifetime-stagger 30s"),
        ("lsf", "01:00", [], "--lifetime 3510s --lifetime-stagger 30s"),
        ("pbs", "00:01:00", [], "--lifetime 51s --lifetime-stagger 3s"),
        ("pbs", "01:00:00", ["walltime=00:01:00"], "--lifetime 51s --lifetime-stagger 3s"),
        ("oar", None, [], "--lifetime 17910s --lifetime-stagger 30s"),
        ("htcondor", None, [], None),
    ],
)
def test_workers_leave_before_the_walltime_of_the_settings_or_of_the_users_file(
    kind: str, walltime: str | None, options: list[str], words: str | None
) -> None:
    with dask.config.set({f"jobqueue.{kind}": {"walltime": "5"} if kind == "oar" else {}}):
        arguments = leaving(ClusterSettings(ClusterKind[kind], walltime=walltime, options=options))
    assert arguments == (words and words.split())


@pytest.mark.parametrize(
    ("kind", "file", "given", "message"),
    [
        (
            "slurm",
            {"walltime": "00:05"},
            {},
            "walltime=00:05, of jobqueue.slurm in ~/.config/dask/jobqueue.yaml: want",
        ),
        ("pbs", {"walltime": 0}, {}, "walltime=0, of jobqueue.pbs in ~/.config/dask/jobqueue.yaml: wanted a minute or"),
        ("lsf", {}, {"options": ["walltime=0"]}, "walltime=0, of cluster.options: wanted a minute or more"),
        ("pbs", {"cores": "four"}, {}, "cores=four, of jobqueue.pbs in ~/.config/dask/jobqueue.yaml: wanted a whole"),
        ("pbs", {}, {"options": ["cores=0"]}, "cores=0, of cluster.options: wanted a whole number from 1"),
        ("pbs", {"memory": "much"}, {}, "memory=much, of jobqueue.pbs in ~/.config/dask/jobqueue.yaml: wanted a size"),
        ("pbs", {"cores": 2}, {"processes": 4}, "cluster.processes=4: wanted at most 2, the cores of a job"),
        ("pbs", {"cores": 1, "processes": 3}, {}, "processes=3, of jobqueue.pbs in ~/.config/dask/jobqueue.yaml: wan"),
    ],
)
def test_a_value_of_the_users_file_or_of_options_is_checked_as_a_key_is(
    kind: str, file: dict[str, Any], given: dict[str, Any], message: str
) -> None:
    settings = ClusterSettings(ClusterKind[kind], **given)
    with dask.config.set({f"jobqueue.{kind}": file}), pytest.raises(ClusterError) as caught:
        job_size(settings)
        leaving(settings)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("given", [{"walltime": "0"}, {"options": ["walltime=0"]}, {}])
def test_0_is_no_limit_in_slurm_wherever_it_is_set(given: dict[str, Any]) -> None:
    with dask.config.set({"jobqueue.slurm": {"walltime": "0" if not given else "01:00:00"}}):
        assert leaving(ClusterSettings(ClusterKind.slurm, **given)) is None


# --- what a job needs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "changes", "missing"),
    [
        ("slurm", {}, "set cluster.cores=4 cluster.memory=16GiB, or the same in jobqueue.slurm of"),
        ("pbs", {"cores": 1}, "set cluster.memory=16GiB, or"),
        (
            "htcondor",
            {"cores": 1, "memory": "1GiB"},
            "set cluster.options=[disk=1GB], or the same in jobqueue.htcondor",
        ),
        ("htcondor", {"cores": 1, "memory": "1GiB", "options": ["disk=1GB"]}, ""),
        ("lsf", {"options": ["cores=2", "memory=1GiB"]}, ""),
    ],
)
def test_what_a_job_needs_and_is_not_set_is_named_with_its_settings(
    kind: str, changes: dict[str, Any], missing: str
) -> None:
    settings = ClusterSettings(ClusterKind[kind], **changes)
    if not missing:
        refuse_missing(settings)
        return
    with pytest.raises(ClusterError) as caught:
        refuse_missing(settings)
    assert missing in str(caught.value)


def test_options_come_before_keys_and_keys_before_the_users_file() -> None:
    with dask.config.set({"jobqueue.pbs": {"cores": 2, "worker-extra-args": ["a"]}}):
        assert value_of(ClusterSettings(ClusterKind.pbs), "cores") == 2
        assert value_of(ClusterSettings(ClusterKind.pbs, cores=3), "cores") == 3
        assert value_of(ClusterSettings(ClusterKind.pbs, cores=3, options=["cores=4"]), "cores") == 4
        assert value_of(ClusterSettings(ClusterKind.pbs), "worker_extra_args") == ["a"]


def test_the_plan_says_that_the_cores_of_a_job_are_not_known() -> None:
    assert job_size(ClusterSettings(ClusterKind.sge)).guess == "cluster.cores is not set, and the plan counts on one"
    assert not job_size(job_of(ClusterKind.sge)).guess


# --- jobs that are lost -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "then", "lost"),
    [
        (["C-1-0", "C-1-1"], [], ["C-1"]),  # a job of two workers
        (["C-1-0", "C-1-1"], ["C-1-1"], []),  # one of which is there
        (["C-1", "C-10"], ["C-10"], ["C-1"]),
        ([], [], []),  # none has come yet
    ],
)
def test_a_job_is_lost_once_all_its_workers_have_come_and_are_gone(
    first: list[str], then: list[str], lost: list[str]
) -> None:
    called: list[str] = []
    loop = SimpleNamespace(add_callback=lambda _, name: called.append(name))
    cluster = SimpleNamespace(workers=dict.fromkeys(["C-1", "C-10"]), loop=loop)
    jobs = LostJobs(cluster, seconds=0.0)
    for names in (first, then):
        cluster.scheduler = SimpleNamespace(workers={name: SimpleNamespace(name=name) for name in names})
        jobs.forget()
    assert called == lost


# --- what queues say --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", QUEUES)
def test_a_machine_from_which_no_job_can_be_submitted_is_told_by_its_command(
    kind: ClusterKind, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    remedy = f"cluster={kind.value}: there is no command '[a-z_]+' here; start the run on a machine from"
    with pytest.raises(ClusterError, match=remedy):
        _made(job_of(kind), None)


@pytest.mark.parametrize(
    ("code", "command", "out", "err", "reason"),
    [
        (1, "sbatch /tmp/a.sh", "", "invalid\npartition\n", "invalid partition"),
        (1, "qsub /tmp/a.sh", "no such queue", "", "no such queue"),
        (
            255,
            "bsub< /tmp/a.sh 2> /dev/null",
            "",
            "",
            "'bsub' ended with exit code 255 and did not say why; submit",
        ),
    ],
)
def test_a_refusal_has_the_reason_of_the_queue_or_says_that_there_is_none(
    code: int, command: str, out: str, err: str, reason: str
) -> None:
    error = RuntimeError(
        f"Command exited with non-zero exit code.\nExit code: {code}\nCommand:\n{command}\nstdout:\n{out}\n"
        f"stderr:\n{err}\n"
    )
    assert why_refused(error).startswith(reason)


def test_an_answer_without_an_id_is_quoted() -> None:
    assert why_refused(ValueError("Could not parse\njob id")) == "Could not parse job id"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "Got unexpected keyword argument 'dsk'. Very likely this unexpected parameter was passed\njob_kwargs={}",
            "dask-jobqueue says: Got unexpected keyword argument 'dsk'; look at cluster.options, and at jobqueue.pbs",
        ),
        ("'ib9' is not a valid network interface.", "look at cluster.interface, and at jobqueue.pbs in"),
    ],
)
def test_what_dask_jobqueue_refuses_is_told_with_the_key_that_it_is_about(said: str, told: str) -> None:
    assert told in str(why_no_job(ClusterSettings(ClusterKind.pbs), ValueError(said)))


@pytest.mark.parametrize(
    ("said", "reasons"),
    [
        ("job_number: 3\nowner: root\nscheduling info: all.q is disabled\n  and full\n", "scheduling info: all.q is"),
        ("cwd: /tmp\nerror reason    1: no such file\nscheduling info: Job is in error state", "error reason    1: no"),
        ("PENDING (Resources)", "PENDING (Resources)"),
    ],
)
def test_what_a_queue_says_is_cut_to_its_reasons(said: str, reasons: str) -> None:
    assert reasons_of(said).startswith(reasons)


@pytest.mark.parametrize(
    ("kind", "file", "options", "name"),
    [
        ("oar", {}, [], "not_applicable"),
        ("oar", {}, ["memory_per_core_property_name=memcore"], None),
        ("oar", {"memory-per-core-property-name": "memcore"}, [], None),
        ("slurm", {}, [], None),
    ],
)
def test_oar_is_told_that_no_property_counts_memory_unless_one_is_named(
    kind: str, file: dict[str, str], options: list[str], name: str | None
) -> None:
    with dask.config.set({f"jobqueue.{kind}": file}):
        told = _memory_of_cores(ClusterSettings(ClusterKind[kind], options=options))
    assert told.get("memory_per_core_property_name") == name


# --- commands that stand for a queue ----------------------------------------------------------------------------------


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A queue that takes one job, number 17, and writes what it is told to cancel."""
    programs = {
        "qsub": "mkdir taken 2>/dev/null || { echo it is full >&2; exit 3; }\necho 17.host",
        "qdel": "echo $* >>cancelled",
        "qstat": "echo job 17 waits",
        "bsub": "echo bad limit >&2; exit 255",
    }
    for name, words in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{words}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return SimpleNamespace(fill=(tmp_path / "taken").mkdir, cancelled=(tmp_path / "cancelled").read_text)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"jobs": 2}, {"adapt": AdaptSettings(maximum=3)}], ids=["fixed", "adapted"])
def test_a_queue_that_takes_no_job_is_quoted(queue: Any, changes: dict[str, Any]) -> None:
    queue.fill()
    refused = r"(?s)cluster=pbs: the queue refuses the job: it is full; the job script was:.*#PBS"
    with pytest.raises(ClusterError, match=refused), open_cluster(job_of(ClusterKind.pbs, **changes), {}):
        pytest.fail("there is a cluster")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"jobs": 2}, "the queue refuses the job: it is full"),
        ({"adapt": AdaptSettings(minimum=2, maximum=3)}, "the queue refuses the job: it is full"),
        ({"adapt": AdaptSettings(maximum=3, interval=0.1)}, "no worker came .*qstat says: job 17 waits"),
    ],
    ids=["the second", "the second of the least", "later ones"],
)
def test_a_queue_that_takes_some_jobs_only_is_left_without_any(
    queue: Any, changes: dict[str, Any], reason: str
) -> None:
    settings = job_of(ClusterKind.pbs, start_timeout=2, **changes)
    with pytest.raises(ClusterError, match=reason), open_cluster(settings, {}):
        pytest.fail("there is a cluster")
    assert queue.cancelled() == "17\n"


@pytest.mark.slow
def test_a_queue_whose_reason_is_lost_is_told_with_how_to_see_it(queue: Any) -> None:
    lost = r"(?s)cluster=lsf: the queue refuses the job: 'bsub' ended with exit code 255 and did not say why.*#BSUB"
    with pytest.raises(ClusterError, match=lost), open_cluster(job_of(ClusterKind.lsf), {}):
        pytest.fail("there is a cluster")


@pytest.mark.slow
@pytest.mark.parametrize("kind", QUEUES)
def test_no_warning_of_dask_jobqueue_reaches_the_console(
    kind: ClusterKind, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("sbatch", "qsub", "bsub", "condor_submit", "oarsub"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        _made(job_of(kind), None).close()
    assert [str(one.message) for one in said if "dask_jobqueue" in one.filename] == []
