"""Scenes are called by the shortest part of their path that tells them apart, and keep a manifest's columns."""

from pathlib import Path

import pandas as pd
import pytest
from jobs import local_source
from scenes_on_disk import speckle, write_scene

from runner.errors import SourceError
from runner.model import Inputs, StoredObject
from runner.output.inputs import write_inputs
from runner.output.table import scene_table
from runner.record.input_rows import read_inputs
from runner.settings import OnError, S3Settings, SourceKind, SourceSettings
from runner.source.names import describe_folder_dates, name_candidates, shortest_names
from runner.source.reopen import look_up, read_scenes
from runner.source.scenes import find_inputs
from runner.source.stores import Stores


def find(source: SourceSettings) -> Inputs:
    return find_inputs(source, Stores(S3Settings()), OnError.stop, lambda done, total: None)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/a/x/1", "/a/y/2"], ["1", "2"]),
        (["/a/S1A_ASC/VV", "/a/S1B_DSC/VV"], ["S1A_ASC", "S1B_DSC"]),
        (["/a/S1A/1/VV", "/a/S1B/1/VV"], ["S1A", "S1B"]),
        (["/a/S1A/VV", "/a/S1A/VH", "/a/S1B/VV"], ["S1A/VV", "S1A/VH", "S1B/VV"]),
        (["/a/VV"], ["VV"]),
        (["VV", "b/VV"], ["VV", "b/VV"]),
        ([], []),
    ],
)
def test_names_are_the_fewest_last_parts_that_tell_paths_apart(paths: list[str], names: list[str]) -> None:
    assert shortest_names(paths) == names


def test_keys_without_a_date_are_counted_in_one_message() -> None:
    source = SourceSettings(url="s3://b/*.tif", datetime_regex=r"(?P<date>\d{8})")
    items = [StoredObject(f"s3://b/{name}.tif") for name in ("20200101", "mask", "20201399")]
    with pytest.raises(SourceError) as caught:
        name_candidates(source, items)
    assert "s3://b/mask.tif: source.datetime_regex=" in str(caught.value)
    assert (
        "finds no date in it, and so for 2 of 3 objects; say what the date looks like, as by 'source.datetime_regex="
        in str(caught.value)
    )


@pytest.mark.parametrize(
    ("keys", "pattern"),
    [
        (["t2m_202001", "t2m_202002"], r"(?P<year>\d{4})[-_.]?(?P<month>\d\d)"),
        (["chirps-v2.0.2020.01", "chirps-v2.0.2020.02"], r"(?P<year>\d{4})[-_.]?(?P<month>\d\d)"),
        (["y2020", "y2021"], r"(?P<year>\d{4})"),
        (["t2m_2020010600", "t2m_2020010612"], r"(?P<datetime>\d{10})"),
        (["06Jan2020", "16Jan2020"], r"(?P<date>\d\d?[A-Za-z]{3}\d{4})"),
        (["2020-1-6", "2020-11-16"], r"(?P<date>\d{4}[-_.]\d\d?[-_.]\d\d?)"),
        (["s2020006183005"], r"(?P<datetime>\d{13})"),
        (["2020/01/15/ndvi", "2020/2/5/ndvi"], r"(?P<year>\d{4})/(?P<month>\d\d?)/(?P<day>\d\d?)"),
        (["2020/01/ndvi", "2020/02/ndvi"], r"(?P<year>\d{4})/(?P<month>\d\d?)"),
        (["2020/006/ndvi", "2020/100/ndvi"], r"(?P<year>\d{4})/(?P<doy>\d{3})"),
        (["15Jan2020/ndvi", "15Feb2020/ndvi"], r"(?P<date>\d\d?[A-Za-z]{3}\d{4})"),
        (["a", "y2021"], r"(?P<date>\d{8})"),  # none is known that dates all
    ],
)
def test_keys_without_a_date_are_answered_with_a_pattern_that_dates_them(keys: list[str], pattern: str) -> None:
    source = SourceSettings(url="s3://b/*.tif", datetime_regex=r"(?<!\d)(?P<date>\d{8})(?!\d)")
    with pytest.raises(SourceError) as caught:
        name_candidates(source, [StoredObject(f"s3://b/{key}.tif") for key in keys])
    said = str(caught.value).partition("as by ")[2]
    assert f"{pattern}" in said.partition("', or")[0]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["d/20200106.tif"], []),
        (
            ["20200106/x.tif", "20200107/x.tif", "20200101/20200108.tif"],
            [
                "the dates of 2 of 3 scenes are from the folder, since their file names have none: "
                "20200106/x.tif is of 2020-01-06"
            ],
        ),
    ],
)
def test_dates_that_folders_give_are_told(keys: list[str], said: list[str]) -> None:
    source = SourceSettings(url="s3://b/**/*.tif", datetime_regex=r"(?P<date>\d{8})")
    named = name_candidates(source, [StoredObject(f"s3://b/{key}") for key in keys])
    assert describe_folder_dates(source, named) == said


@pytest.fixture
def twins(tmp_path: Path) -> Path:
    """Two scenes of one file name."""
    for folder in ("S1A_20200106_ASC", "S1B_20200112_DSC"):
        write_scene(tmp_path / "data" / folder / "Gamma0_VV.tif", speckle((40, 30)))
    return tmp_path / "data"


@pytest.mark.parametrize("url", ["data/*/Gamma0_VV.tif", "./data/**/*.tif", "~/data/*/*.tif"])
def test_scenes_of_one_file_name_are_told_apart_by_a_glob(
    twins: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.chdir(twins.parent)
    monkeypatch.setenv("HOME", str(twins.parent))
    stack = find(local_source(twins, url=url)).stack
    assert [one.name for one in stack.scenes] == ["S1A_20200106_ASC/Gamma0_VV", "S1B_20200112_DSC/Gamma0_VV"]
    assert stack.scenes[0].href == str(twins / "S1A_20200106_ASC/Gamma0_VV.tif")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_manifests_further_columns_go_into_the_table(twins: Path, tmp_path: Path, ending: str) -> None:
    table = pd.DataFrame(
        {
            "href": [str(path) for path in sorted(twins.rglob("*.tif"))],
            "datetime": ["2020-01-06", "2020-01-12"],
            "orbit": ["007", "112"],
            "clouds": [None, 0.25],
            "scene": [None, "mine"],
        }
    )
    manifest = tmp_path / f"scenes.{ending}"
    table.to_csv(manifest) if ending == "csv" else table.to_parquet(manifest)  # CSV with pandas' unnamed index
    inputs = find(SourceSettings(kind=SourceKind.manifest, url=str(manifest)))
    assert [one.name for one in inputs.stack.scenes] == ["Gamma0_VV", "mine"]
    assert [one.groups for one in inputs.stack.scenes] == [{"orbit": "007"}, {"orbit": "112", "clouds": "0.25"}]
    rows = scene_table(inputs.stack, {}, {}, {}).to_pydict()
    assert (rows["orbit"], rows["clouds"]) == (["007", "112"], [None, "0.25"])
    write_inputs(tmp_path / "inputs.parquet", inputs)
    assert [dict(row.columns) for row in read_inputs(tmp_path)] == [one.groups for one in inputs.stack.scenes]


def test_a_manifests_scenes_of_one_file_name_are_called_by_their_folders(twins: Path) -> None:
    (twins / "scenes.csv").write_text(
        "href,datetime\nS1A_20200106_ASC/Gamma0_VV.tif,2020-01-06\nS1B_20200112_DSC/Gamma0_VV.tif,2020-01-12\n"
        "S1B_20200112_DSC/Gamma0_VV.tif,2020-01-12\n"  # the same row twice is one scene
    )
    stack = find(SourceSettings(kind=SourceKind.manifest, url=str(twins / "scenes.csv"))).stack
    assert [one.name for one in stack.scenes] == ["S1A_20200106_ASC", "S1B_20200112_DSC"]


def test_a_recorded_scene_keeps_its_date_and_columns_without_its_manifest(twins: Path) -> None:
    (path, _) = sorted(twins.rglob("*.tif"))
    (twins / "scenes.csv").write_text(f"href,datetime,orbit\n{path},2021-05-01T10:00:00,007\n")
    source = SourceSettings(kind=SourceKind.manifest, url=str(twins / "scenes.csv"))
    inputs = find(source)
    write_inputs(twins / "inputs.parquet", inputs)
    (twins / "scenes.csv").unlink()
    (row,) = read_inputs(twins)
    stores = Stores(S3Settings())
    (scene,), _ = read_scenes(source, [(look_up([row.stored], stores)[0], row.scene)], stores, lambda done, total: None)
    assert (scene.name, scene.time, scene.groups) == ("Gamma0_VV", inputs.stack.scenes[0].time, {"orbit": "007"})
