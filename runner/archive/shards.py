"""A share of the stacks of an archive, the same for every listing: runs of a job array take one each."""

import hashlib
from collections.abc import Sequence

from runner.base.humanize import plural
from runner.settings.archive import parse_shard
from runner.source.parts import Part


def in_shard(parts: Sequence[Part], shard: str | None) -> list[Part]:
    """The stacks of a shard such as `3/16`, in their order; all without one.

    A stack's name alone tells its shard. So it stays in it when other stacks come to the archive, and no stack is run
    twice or by none if shards list the archive at different times.
    """
    share = parse_shard(shard) if shard else None
    if share is None:
        return list(parts)
    number, shards = share
    return [part for part in parts if shard_of(part.name, shards) == number]


def shard_of(name: str, shards: int) -> int:
    """The number of a stack's shard, from 1 to `shards`, by the SHA-256 of its name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % shards + 1


def describe_shard(shard: str, taken: Sequence[Part], parts: Sequence[Part]) -> str:
    """One line on the stacks of a shard."""
    return f"shard {shard}: {len(taken):,} of {plural(len(parts), 'stack')}"
