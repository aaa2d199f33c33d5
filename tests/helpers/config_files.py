"""Config files of a user, and how they are refused."""

import textwrap
from pathlib import Path

import pytest
from jobs import compose

from runner.errors import ConfigError

EXPERIMENT = "experiment/theirs"


def theirs(folder: Path, text: str, file: str = EXPERIMENT) -> str:
    """Write a file of somebody else's config folder; the override that puts the folder on Hydra's search path."""
    path = folder / f"{file}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return f"hydra.searchpath=[file://{folder}]"


def refusal(*words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose(*words)
    assert "\n" not in str(caught.value)
    return str(caught.value)
