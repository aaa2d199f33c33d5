"""The job of a stack: what a command line for that stack alone would make."""

from pathlib import Path

from jobs import compose
from stack_archives import PATTERN

from runner.archive.stack_jobs import ArchiveJob
from runner.source.parts import Part

PART = Part("10TET_none", {"tile": "10[T]ET", "band": None}, ())
WORDS = (
    "source=local", "source.url=/data/*.tif", f"source.datetime_regex={PATTERN}", "chunks=row", "source.where.orbit=A*",
)  # fmt: skip


def archive_job(*overrides: str) -> ArchiveJob:
    config = {"source": {"stack_by": ["tile", "band"], "where": {"orbit": "A*"}}, "output": {"dir": "outputs/test"}}
    return ArchiveJob(compose(*overrides), Path("/runs/here"), config, config, overrides)


def test_the_overrides_of_a_stack_compose_the_job_that_is_run() -> None:
    whole = archive_job(*WORDS, "source.stack_by=[tile,band]", "output.dir=elsewhere")
    alone, own = compose(*whole.overrides_of(PART)), whole.settings_of(PART)
    assert own.output.dir == "/runs/here/stacks/10TET_none"
    alone.output.dir = own.output.dir
    assert alone == own
    assert own.source.where == {"orbit": "A*", "tile": "10[[]T]ET", "band": None}


def test_its_configs_say_the_same() -> None:
    config = archive_job(*WORDS, "source.stack_by=[tile,band]").config_of(PART)
    assert config["source"] == {"stack_by": [], "where": {"orbit": "A*", "tile": "10[[]T]ET", "band": None}}
    assert config["output"] == {"dir": "/runs/here/stacks/10TET_none", "upload": None}


def test_a_stack_of_one_of_several_bands_reads_that_band_alone() -> None:
    part = Part("10TET_nir", {"tile": "10TET", "band": "nir"}, (), band="nir")
    whole = archive_job(*WORDS, "source.stack_by=[tile]", "source.bands=[red,nir]", "output.dir=elsewhere")
    alone, own = compose(*whole.overrides_of(part)), whole.settings_of(part)
    alone.output.dir = own.output.dir
    assert alone == own
    assert (own.source.band, own.source.bands, own.source.where) == ("nir", None, {"orbit": "A*", "tile": "10TET"})
    assert whole.config_of(part)["source"]["band"] == "nir"
