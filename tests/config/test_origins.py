"""A wrong key or value in a config file of the user's is told with the file and the line."""

from pathlib import Path

import pytest
from config_files import refusal, theirs
from marks import few_quick

from runner.config.origins import ORIGINS, ConfigFile, located
from runner.errors import ConfigError

JOB = "# @package _global_\n"


@pytest.mark.parametrize(
    ("file", "text", "words", "message"),
    few_quick([
        (
            "experiment/mine", JOB + "source:\n  limt: 3\n", ["experiment=mine"],
            "mine.yaml:3: source.limt: there is no such setting; did you mean 'source.limit'",
        ),
        (
            "experiment/mine", JOB + "sorce:\n  limit: 3\n", ["experiment=mine"],
            "mine.yaml:2: sorce: there is no such setting; did you mean 'source'",
        ),
        (
            "source/mine", "defaults: [demo]\n\ns3:\n  regoin: x\n", ["source=mine"],
            "mine.yaml:4: source.s3.regoin: there is no such setting; did you mean 'source.s3.region'",
        ),
        (
            "cluster/mine", "kind: processes\nn_worker: 4\n", ["stages.spatial_mean.cluster=mine"],
            "mine.yaml:2: stages.spatial_mean.cluster.n_worker: there is no such setting; did you mean "
            "'stages.spatial_mean.cluster.n_workers'",
        ),
        (
            "experiment/mine", JOB + "source.limit: 3\n", ["experiment=mine"],
            "mine.yaml:2: source.limit: a dot is a part of a name in a file; write limit below source:",
        ),
        (
            "source/mine", "source:\n  limit: 3\n", ["source=mine"],
            "mine.yaml:1: source.source: the keys of this file are those of source already; write them without source:",
        ),
        (
            "experiment/mine", JOB + "stages:\n  spatial_maen:\n    weights: none\n", ["experiment=mine"],
            "mine.yaml:3: stages.spatial_maen.over has no value",
        ),
        (
            "experiment/mine", JOB + "gdal:\n  options:\n    GDAL_CACHEMAXX: 3\n", ["experiment=mine"],
            "mine.yaml:4: gdal.options.GDAL_CACHEMAXX: GDAL 3.10 knows no such option",
        ),
        ("experiment/mine", "source:\n  limit: 3\n", ["experiment=mine"], "mine.yaml:1: its first line must be"),
        ("experiment/mine", JOB + "- source\n", ["experiment=mine"], "mine.yaml:1: wanted keys and values"),
        ("experiment/mine", JOB + "mask: [\n", ["experiment=mine"], "mine.yaml:3: expected the node content"),
        ("experiment/mine", JOB + "mask: both\nmask: none\n", ["experiment=mine"], "mine.yaml:3: found duplicate key"),
        (
            "experiment/mine", JOB + "defaults:\n- override /sorce: demo\n", ["experiment=mine"],
            "mine.yaml:3: its defaults override 'sorce', which is not there; did you mean 'source'",
        ),
        (
            "experiment/mine", JOB + "defaults:\n- override /source: dmo\n", ["experiment=mine"],
            "mine.yaml:3: source=dmo: no such option; did you mean 'demo'",
        ),
        (
            "source/mine", "name: x\ndefaults:\n- locl\n", ["source=mine"],
            "mine.yaml:3: its defaults name 'locl', which is not a file of source/; did you mean 'local'",
        ),
    ], 6),
)  # fmt: skip
def test_a_wrong_key_in_a_file_is_told_with_its_line(
    tmp_path: Path, file: str, text: str, words: list[str], message: str
) -> None:
    assert message in refusal(theirs(tmp_path, text, file), *words)


@pytest.mark.parametrize(
    ("text", "message"),
    few_quick(
        [
            ("source:\n  limit: three\n", "mine.yaml:3: source.limit=three: wanted a whole number"),
            ("source:\n  limit: 0\n", "mine.yaml:3: source.limit=0: wanted a whole number from 1 on"),
            ("source:\n  band: null\n", "mine.yaml:3: source.band=null: wanted a value; leave the key out"),
            ("source:\n  exclude: '*a*'\n", "mine.yaml:3: source.exclude: wanted a list"),
            ("source:\n  valid_range: [a, b]\n", "mine.yaml:3: source.valid_range[0]=a: wanted a number"),
            ("source:\n  mask_and_scale: maybe\n", "mine.yaml:3: source.mask_and_scale=maybe: wanted true or false"),
            ("source:\n  limit: ${source.name}\n", "mine.yaml:3: source.limit=demo: wanted a whole number"),
            ("source:\n  limit: ${nope.x}\n", "mine.yaml:3: source.limit: ${nope.x} is not a setting"),
            ("source:\n  s3: us-west-2\n", "mine.yaml:3: source.s3=us-west-2: wanted a section of keys"),
            ("gdal:\n  options: [a]\n", "mine.yaml:3: gdal.options=[...]: wanted a section of keys"),
            (
                "source: local\n",
                "mine.yaml:2: source=local: wanted a section of keys; an option is chosen in the list of defaults",
            ),
            (
                "mask: both\n",
                "mine.yaml:2: mask=both: wanted a section of keys; an option is chosen in the list of defaults: "
                "`- override /mask: both`",
            ),
            (
                "mask:\n  own: nodatta\n",
                "mine.yaml:3: mask.own: Invalid value 'nodatta', expected one of [nodata, both, none]; did you",
            ),
            ("chunks:\n  y: blcok\n", "mine.yaml:3: chunks.y=blcok: wanted a whole number from 1 on, or one of auto"),
            ("chunks: null\n", "mine.yaml:2: chunks=null: wanted a value"),
            (
                "stages:\n  spatial_mean:\n    statistics: [mean, medain]\n",
                "mine.yaml:4: stages.spatial_mean.statistics: there is no statistic 'medain'",
            ),
            ("hydra:\n  callbacks:\n    x: {_target_: os.makedirs}\n", "mine.yaml:4: hydra.callbacks.x._target_"),
        ],
        9,
    ),
)
def test_a_wrong_value_in_a_file_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(theirs(tmp_path, JOB + text, "experiment/mine"), "experiment=mine")


def test_an_option_where_keys_belong_is_told_how_it_is_chosen(tmp_path: Path) -> None:
    text = JOB + "stages:\n  spatial_mean:\n    cluster: processes\n"
    assert "- override /cluster@stages.spatial_mean.cluster: processes" in refusal(
        theirs(tmp_path, text, "experiment/mine"), "experiment=mine"
    )


def test_a_value_of_the_command_line_is_not_blamed_on_the_file_that_it_overrides(tmp_path: Path) -> None:
    folder = theirs(tmp_path, JOB + "source:\n  limit: 3\n", "experiment/mine")
    assert refusal(folder, "experiment=mine", "source.limit=0").startswith("source.limit=0: ")


def test_a_wrong_type_in_a_file_is_told_although_the_command_line_overrides_it(tmp_path: Path) -> None:
    folder = theirs(tmp_path, JOB + "source:\n  limit: three\n", "experiment/mine")
    assert "mine.yaml:3: source.limit=three" in refusal(folder, "experiment=mine", "source.limit=3")


def test_the_last_of_two_files_that_set_a_key_is_named(tmp_path: Path) -> None:
    theirs(tmp_path, "defaults: [demo]\nlimit: 3\n", "source/mine")
    folder = theirs(tmp_path, JOB + "source: {limit: 0}\n", "experiment/mine")
    assert "experiment/mine.yaml:2: source.limit=0" in refusal(folder, "source=mine", "experiment=mine")


@pytest.mark.parametrize("text", ["", JOB, JOB + "defaults: []\n"])
def test_a_file_without_values_is_blamed_for_none(tmp_path: Path, text: str) -> None:
    assert refusal(theirs(tmp_path, text, "source/mine"), "source=mine", "mask.own=nodatta").startswith("mask.own: ")


def test_our_own_files_are_not_named() -> None:
    assert refusal("stages.spatial_mean.cluster=address").startswith("stages.spatial_mean.cluster.address")


def test_a_path_below_the_current_folder_is_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = theirs(tmp_path / "my_conf", "limt: 3\n", "source/mine")
    assert refusal(folder, "source=mine").startswith("my_conf/source/mine.yaml:1: source.limt: ")


def test_a_file_knows_the_line_of_a_key_below_its_package(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("# a source\nname: x\ns3:\n  region: y\n")
    file = ConfigFile(path, "source")
    lines = {key: file.node(key) for key in ("source.name", "source.s3.region", "source", "source.url", "chunks.y")}
    assert [found and found[0] for found in lines.values()] == [2, 4, 1, None, None]


def test_an_error_that_begins_with_no_key_of_a_file_stays_as_it_is() -> None:
    ORIGINS.begin([])
    error = ConfigError("source.limit=0: wanted a whole number")
    assert located(error) is error
