"""Checks of how the stacks of an archive are shared out."""

from runner.errors import ConfigError
from runner.settings import ClusterKind, JobSettings
from runner.settings.archive import parse_shard

_HERE = (ClusterKind.sync, ClusterKind.threads)


def check_archive(job: JobSettings) -> None:
    """Check the shard and the workers of an archive against the rest of the job. Raises ConfigError."""
    archive, parted = job.archive, bool(job.source.parted_by)
    if archive.shard is not None:
        key = f"archive.shard={archive.shard}"
        if parse_shard(archive.shard) is None:
            raise ConfigError(f"{key}: wanted K/N with K from 1 to N, such as 3/16")
        if not parted:
            raise ConfigError(f"{key}: wanted null, since source.stack_by parts no stacks")
    if archive.cluster is None:
        return
    kind = archive.cluster.kind
    key = f"archive.cluster={kind.value}"
    if not parted:
        raise ConfigError(
            f"{key}: wanted null, since source.stack_by parts no stacks; a stage has a cluster of its own"
        )
    if kind is ClusterKind.sync:
        raise ConfigError(f"{key}: wanted workers, or threads; for one task after the other set cluster=sync")
    for name, stage in job.stages.items() if kind not in _HERE else ():
        if stage.cluster.kind not in _HERE:
            raise ConfigError(
                f"stages.{name}.cluster={stage.cluster.kind.value}: wanted threads, by which a worker of {key} runs "
                "each stack"
            )
