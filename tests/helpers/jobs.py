"""Jobs as a user makes them: composed from words of the command line, over folders of small scenes."""

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

from runner.config import job_config
from runner.config.messages import explain
from runner.config.overrides import refuse_overrides
from runner.config.vocabulary import config_dir
from runner.model import Stack
from runner.settings import JobSettings, MaskSettings, OnError, SourceKind, SourceSettings
from runner.source.scenes import find_inputs
from runner.source.stores import Stores

Cli = Callable[..., subprocess.CompletedProcess[str]]
Typed = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[2]


def local_source(folder: Path, **changes: object) -> SourceSettings:
    """Every .tif of a folder, dated by eight digits in its name."""
    settings = {
        "name": "local",
        "kind": SourceKind.glob,
        "url": f"{folder}/**/*.tif",
        "datetime_regex": r"(?P<date>\d{8})",
    }
    return SourceSettings(**{**settings, **changes})  # type: ignore[arg-type]


def found_stack(
    source: SourceSettings,
    stores: Stores | None = None,
    mask: MaskSettings | None = None,
    on_error: OnError = OnError.stop,
) -> Stack:
    """The stack of a source, whose objects are listed and whose headers are read."""
    stores = stores or Stores(source.s3)
    return find_inputs(source, stores, on_error, lambda done, total: None, mask).stack


def compose(*overrides: str) -> JobSettings:
    """The job that these words of the command line make, through Hydra and the checks; errors as a user gets them."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException

    job_config.register_settings()
    refuse_overrides(overrides)
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        try:
            tree = hydra_compose("config", list(overrides))
        except HydraException as error:
            raise explain(error) from error
        tree.output.dir = "outputs/test"
        return job_config.read_job(tree, {})


@cache
def block_job() -> JobSettings:
    """The default job by the block engine, composed once in a process. Its sections are shared: replace them."""
    return compose("engine=block")
