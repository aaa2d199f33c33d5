"""How the stacks of an archive are shared out: what does not go together is refused."""

import pytest
from jobs import compose

from runner.errors import ConfigError
from runner.settings import ClusterKind

BY = "source.stack_by=[orbit]"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["archive.shard=3/16"], "archive.shard=3/16: wanted null, since source.stack_by parts no stacks"),
        ([BY, "archive.shard=17/16"], "archive.shard=17/16: wanted K/N with K from 1 to N, such as 3/16"),
        ([BY, "archive.shard=0/16"], "archive.shard=0/16: wanted K/N"),
        ([BY, "archive.shard=3"], "archive.shard=3: wanted K/N"),
        (
            ["cluster@archive.cluster=processes"],
            "archive.cluster=processes: wanted null, since source.stack_by parts no",
        ),
        ([BY, "cluster@archive.cluster=sync"], "archive.cluster=sync: wanted workers, or threads"),
        (
            [BY, "cluster@archive.cluster=processes", "cluster@stages.spatial_mean.cluster=processes"],
            "stages.spatial_mean.cluster=processes: wanted threads, by which a worker of archive.cluster=processes",
        ),
        (
            [BY, "cluster@archive.cluster=address"],
            "archive.cluster.address=null: wanted a scheduler's address, as tcp://",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        compose(*words)


def test_a_cluster_of_the_archive_is_chosen_by_its_name() -> None:
    job = compose(BY, "cluster@archive.cluster=processes", "archive.cluster.n_workers=2", "archive.shard=3/16")
    assert job.archive.cluster is not None
    assert (job.archive.cluster.kind, job.archive.cluster.n_workers) == (ClusterKind.processes, 2)
    assert compose(BY).archive.cluster is None
