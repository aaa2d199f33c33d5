"""The registry of clusters: what each kind needs, how large it will be, what packages add."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest
from distributed import LocalCluster

from runner.cluster import kinds
from runner.cluster.keys import cluster_named
from runner.cluster.kinds import KINDS, expected_workers, starter
from runner.cluster.open import open_cluster
from runner.cluster.started import GROUP, Started, options_of
from runner.cluster.workers import KillingTaskError
from runner.errors import ClusterError, ConfigError
from runner.settings import AdaptSettings, ClusterKind, ClusterSettings

QUEUES = [kind for kind in ClusterKind if kind.is_queue]


@contextmanager
def in_a_thread(settings: ClusterSettings, loop: Any) -> Iterator[Started]:
    """A cluster of another package."""
    options = options_of(settings)
    with LocalCluster(
        settings.n_workers,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=":0",
        loop=loop,
        **options,
    ) as cluster:
        yield Started(cluster)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("threads_of_dask", f"{__name__}:in_a_thread", GROUP), EntryPoint("broken", "math:pi", GROUP)]
    monkeypatch.setattr(EntryPoint, "load", lambda point: {"broken": 3.14}.get(point.name, in_a_thread))
    monkeypatch.setattr(kinds, "entry_points", lambda group: EntryPoints(points).select(group=group))


def test_every_kind_is_this_process_or_can_be_started() -> None:
    for kind in ClusterKind:
        assert kind.in_process or kind is ClusterKind.plugin or kind in KINDS
    for kind in KINDS.values():
        module, _, name = kind.start.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize(
    ("kind", "extra"), [*((kind, "hpc") for kind in QUEUES), (ClusterKind.ssh, "ssh"), (ClusterKind.gateway, "gateway")]
)
def test_a_package_that_is_missing_is_one_line_that_says_what_to_install(
    kind: ClusterKind, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "find_spec", lambda _: None)
    with pytest.raises(ClusterError, match=rf"needs the package \w+: pip install 'cog-stack-runner\[{extra}\]'$"):
        starter(ClusterSettings(kind))


def test_messages_name_the_keys_of_a_stages_cluster_or_of_an_archives() -> None:
    unknown = ClusterSettings(ClusterKind.plugin, plugin="nobodys")
    with pytest.raises(ConfigError, match=r"^cluster\.plugin=nobodys: "):
        starter(unknown)
    with cluster_named("archive.cluster"):
        assert "raise archive.cluster.memory_limit, or" in str(KillingTaskError())
        with pytest.raises(ConfigError, match=r"^archive\.cluster\.plugin=nobodys: "):
            starter(unknown)
    assert "raise cluster.memory_limit, or" in str(KillingTaskError())


def test_a_cluster_of_another_package_is_used(plugins: None) -> None:
    settings = ClusterSettings(
        ClusterKind.plugin, plugin="threads_of_dask", n_workers=1, options=["threads_per_worker=2"]
    )
    with open_cluster(settings, {}) as cluster:
        assert (cluster.size.kind, cluster.size.threads) == ("plugin", 2)
        assert cluster.everywhere(len, "ab") == dict.fromkeys(cluster.everywhere(len, ""), 2)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("thread_of_dask", "did you mean 'threads_of_dask'.*there are: broken, threads_of_dask"),
        ("broken", "wanted a Start"),
    ],
)
def test_a_plugin_that_is_not_there_or_no_cluster_is_refused(plugins: None, name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"cluster.plugin={name}: .*{reason}"):
        starter(ClusterSettings(ClusterKind.plugin, plugin=name))


@pytest.mark.parametrize("kind", QUEUES)
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cores": 8, "memory": "16GiB", "processes": 2, "jobs": 3}, (6, 4, 8 * 2**30)),
        ({"cores": 8, "memory": "16GiB", "processes": 2, "n_workers": 5}, (6, 4, 8 * 2**30)),
        ({"cores": 2, "memory": "4GiB", "processes": 1, "adapt": AdaptSettings(maximum=9)}, (9, 2, 4 * 2**30)),
    ],
)
def test_the_plan_knows_the_workers_of_jobs(
    kind: ClusterKind, changes: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    pytest.importorskip("dask_jobqueue", reason="pip install dask-jobqueue")
    assert expected_workers(ClusterSettings(kind, **changes)) == (*expected, "")


def test_options_are_numbers_words_and_truths() -> None:
    settings = ClusterSettings(options=["cores=2", "share=0.5", "image=a/b:c=d", "big=true", "empty="])
    assert options_of(settings) == {"cores": 2, "share": 0.5, "image": "a/b:c=d", "big": True, "empty": ""}
