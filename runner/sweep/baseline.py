"""The words of a sweep's baseline."""

from collections.abc import Sequence

from runner.base.overrides import key_of
from runner.config.overrides import refuse_overrides
from runner.errors import ConfigError


def check_baseline(words: Sequence[str]) -> None:
    """Raises ConfigError for words that no job may have."""
    refuse_overrides(words)
    for word in words:
        if key_of(word).startswith("sweep."):
            raise ConfigError(
                f"sweep.baseline={word}: that is the whole sweep's; give a job's words, such as chunks=row"
            )
