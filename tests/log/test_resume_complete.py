"""`resume` of a complete run: nothing to do, and how what is asked for could be done."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from log_folders import asked, write_run

from runner.base.command import command
from runner.errors import RecordError
from runner.log.restart import _refuse_other_scenes


@pytest.fixture(autouse=True)
def run(tmp_path: Path) -> Path:
    """A complete run whose config can be composed again."""
    return write_run(tmp_path / "run", {"source.datetime_regex": r"(?P<date>\d{8})"})


def test_overrides_of_a_complete_run_are_said_not_to_be_applied_and_how_they_would_be(tmp_path: Path) -> None:
    done = asked(tmp_path, "resume", "run", "--", "chunks=row", "mask=none")
    assert done.returncode == 0
    assert "there is nothing to resume, and chunks=row mask=none is not applied; " in done.stdout
    assert "log rerun run -- chunks=row mask=none applies it" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["chunkz=row"], "chunkz: there is no such setting; did you mean 'chunks=row'"),
        (["chunks.y=abc"], "chunks.y=abc: wanted a whole number"),
        (["foo"], "foo: cannot be read as KEY=VALUE"),
        (["output.upload=s4:b"], "output.upload=s4:b: wanted s3://BUCKET/PREFIX"),
        (["chunks=row", "output.dir=x"], "output.dir=x: a run is resumed in its own folder"),
    ],
)
def test_overrides_that_could_not_be_are_not_recommended_for_a_complete_run(
    tmp_path: Path, words: list[str], message: str
) -> None:
    done = asked(tmp_path, "resume", "run", "--", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("word", "refused"),
    [
        ("source=local", True),
        ("source.url=/x", True),
        ("source.asset=red", True),
        ("+source.where.tile=10TET", True),
        ("source.stac.login_from=TOKEN", False),  # by which the recorded ones are read
        ("source.nodata=5", False),
        ("mask.on_missing=skip", False),
    ],
)
def test_what_chooses_scenes_is_refused_where_they_are_recorded(word: str, refused: bool) -> None:
    key = word.partition("=")[0].lstrip("+")
    with pytest.raises(RecordError, match="reads the scenes of the recorded run") if refused else nullcontext():
        _refuse_other_scenes([word], ())
    _refuse_other_scenes([word], {key})  # its value was lost


@pytest.mark.parametrize(
    ("words", "way"),
    [
        (["output.upload=s3://b/x"], "nothing to resume; COMMAND log upload run s3://b/x uploads it"),
        (
            ["output.s3.region=eu-west-1", "output.upload=s3://b/x"],
            "nothing to resume; COMMAND log upload run s3://b/x -- output.s3.region=eu-west-1 uploads it",
        ),
        (
            ["chunks=row", "output.upload=s3://b/x"],
            "COMMAND log rerun run -- chunks=row output.upload=s3://b/x applies it",
        ),
    ],
)
def test_an_address_for_a_complete_run_is_one_for_log_upload(tmp_path: Path, words: list[str], way: str) -> None:
    assert way.replace("COMMAND", command()) in asked(tmp_path, "resume", "run", "--", *words).stdout
