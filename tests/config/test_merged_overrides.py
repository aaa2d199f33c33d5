"""Overrides of attempts merged into those of one command, which makes the same job."""

import re
from pathlib import Path

import pytest
from jobs import compose
from sweep_folders import composed

from runner.config.merged_overrides import merged, once_each
from runner.config.overrides import as_hydra_reads, for_each_stage
from runner.config.replay import recompose

STAGES = ("spatial_mean", "temporal_mean")


@pytest.mark.parametrize(
    ("words", "once"),
    [
        ("a=1 b=2 a=1", "b=2 a=1"),
        ("a=1 a=2 a=3", "a=3"),
        ("+a=1 a=2", "+a=2"),
        ("a=1 ++a=2", "++a=2"),
        ("a=1 ~a", "a=1 ~a"),
        ("~a +a=1", "~a +a=1"),
        ("a.x=1 a=2", "a.x=1 a=2"),
        ("source.where={x: 1} source.where={y: 1}", "source.where={x: 1} source.where={y: 1}"),
        ("cluster=processes cluster=threads", "cluster=threads"),
        ("stages.x.cluster=processes cluster@stages.x.cluster=ssh", "cluster@stages.x.cluster=ssh"),
        ("cluster@stages.x.cluster=ssh cluster=ssh", "cluster@stages.x.cluster=ssh cluster=ssh"),
    ],
)  # fmt: skip
def test_an_override_stands_once_if_a_later_one_of_its_key_replaces_it(words: str, once: str) -> None:
    split = re.compile(r" (?![xy]?:? ?\d})").split
    assert once_each(split(words)) == split(once)


A, B = (f"stages.{name}" for name in STAGES)


CASES = [
    (f"cluster@{A}.cluster=processes", "cluster=threads", "cluster=threads"),
    (f"{A}.cluster=processes {A}.cluster.n_workers=2", "cluster=processes", "cluster=processes"),
    ("cluster=processes cluster.n_workers=2", "cluster=threads", "cluster=threads"),
    (f"cluster=processes {A}.cluster.n_workers=3", "cluster.n_workers=2", "cluster=processes cluster.n_workers=2"),
    (f"{A}.statistics=[min]", "statistics=[max]", "statistics=[max]"),
    ("cluster=processes", f"{A}.cluster=threads", f"cluster=processes {A}.cluster=threads"),
    (
        "cluster=processes cluster.n_workers=2",
        f"{A}.cluster=processes",
        f"cluster=processes {B}.cluster.n_workers=2 {A}.cluster=processes",
    ),
    (
        "cluster=processes cluster.n_workers=2",
        f"{A}.cluster.n_workers=3",
        f"cluster=processes cluster.n_workers=2 {A}.cluster.n_workers=3",
    ),
    ("source.limit=3 chunks.y=64", "source=demo chunks=row", "source=demo chunks=row"),
    ("mask.bits=[3] mask.href.replace=[a,b] max_skipped=null", "mask=none", "max_skipped=null mask=none"),
    ("source.limit=3 on_error=skip", "source.limit=4", "on_error=skip source.limit=4"),
    (f"source.limit=3 {B}.chunks=row", f"~stage@{B}", f"source.limit=3 ~stage@{B}"),
]


@pytest.mark.parametrize(("before", "later", "together"), CASES)
def test_what_is_typed_later_replaces_what_it_replaces_in_the_run(before: str, later: str, together: str) -> None:
    assert merged(before.split(), later.split(), STAGES) == together.split()


@pytest.mark.slow
@pytest.mark.parametrize(("before", "later", "together"), CASES)
def test_the_command_that_repeats_a_run_makes_its_job(before: str, later: str, together: str, tmp_path: Path) -> None:
    packages = [f"cluster@{stage}.cluster" for stage in (A, B)]
    stored = composed(*for_each_stage(as_hydra_reads(before.split()), STAGES, packages))
    run = recompose(stored, tmp_path / "config.yaml", later.split(), Path("outputs/test"), scenes_found=True)
    assert compose(*together.split()) == run.job
