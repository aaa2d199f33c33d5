"""Files of this machine are found under the names they were asked for by."""

import os
from datetime import UTC, datetime
from pathlib import Path
from stat import S_IFREG
from types import SimpleNamespace

import pytest
from jobs import local_source
from scenes_on_disk import speckle, write_scene

from runner.errors import SourceError
from runner.model import Inputs
from runner.settings import OnError, S3Settings, SourceSettings
from runner.source.folder import files_around, list_folder, refuse_odd_names
from runner.source.scenes import find_inputs
from runner.source.stores import Stores


def find(source: SourceSettings) -> Inputs:
    return find_inputs(source, Stores(S3Settings()), OnError.stop, lambda done, total: None)


def test_a_link_is_dated_by_its_own_name(tmp_path: Path) -> None:
    """The target's folder is of another day, and read through the link."""
    target = write_scene(tmp_path / "store_20240301" / "blob_20231231.tif", speckle((40, 30)))
    (tmp_path / "links").mkdir()
    (tmp_path / "links/VV_20200106.tif").symlink_to(target)
    (tmp_path / "folder").symlink_to(target.parent)
    (scene,) = find(local_source(tmp_path / "links")).stack.scenes
    assert (scene.name, scene.time) == ("VV_20200106", datetime(2020, 1, 6, tzinfo=UTC))
    assert scene.href == str(tmp_path / "links/VV_20200106.tif")
    assert find(local_source(tmp_path / "folder")).stack.scenes[0].href == str(tmp_path / "folder/blob_20231231.tif")


@pytest.mark.parametrize("pattern", ["*.tif", "VV_20200106.tif"])
def test_a_link_that_leads_nowhere_is_a_scene_that_cannot_be_read(tmp_path: Path, pattern: str) -> None:
    """As in a clone of git-annex, or where a disk is not mounted."""
    write_scene(tmp_path / "VV_20200101.tif", speckle((40, 30)))
    (tmp_path / "VV_20200106.tif").symlink_to("store/blob.tif")
    with pytest.raises(SourceError, match=r"VV_20200106.tif: a link to store/blob.tif, where there is no file"):
        find(local_source(tmp_path, url=f"{tmp_path}/{pattern}"))


@pytest.mark.parametrize("name", ["x_20200106.tif", "x[1]_20200106.tif", "Müller 20200106.tif"])
def test_one_file_is_named_as_it_is(tmp_path: Path, name: str) -> None:
    path = write_scene(tmp_path / name, speckle((40, 30)))
    (scene,) = find(local_source(tmp_path, url=str(path))).stack.scenes
    assert (scene.href, scene.name) == (str(path), name.removesuffix(".tif"))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"M\xfcller_20200102.tif", r"M\xfcller_20200102.tif"),
        (b"\x1b[31m\n20200102.tif", r"\x1b[31m\n20200102.tif"),
        (b"M\xfcller/20200102.tif", r"M\xfcller/20200102.tif"),
    ],
)
def test_names_that_nothing_can_hold_are_refused_in_one_printable_line(tmp_path: Path, name: bytes, shown: str) -> None:
    write_scene(tmp_path / "20200101.tif", speckle((40, 30)))
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).parent.mkdir(exist_ok=True)
    os.link(tmp_path / "20200101.tif", os.fsencode(tmp_path) + b"/" + name)
    with pytest.raises(SourceError) as caught:
        list(list_folder(f"{tmp_path}/**/*.tif"))
    assert f"{tmp_path}/{shown}: 1 of 2 names of files are not UTF-8 or hold control characters" in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(list(list_folder(f"{tmp_path}/20200101*.tif"))) == 1


def test_files_around_a_pattern_are_those_below_its_first_folders(tmp_path: Path) -> None:
    for name in ("a/1", "a/b/2", "c/3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(files_around(f"{tmp_path}/a/*.tif")) == [f"{tmp_path}/a/1", f"{tmp_path}/a/b/2"]
    assert files_around(f"{tmp_path}/c") == [f"{tmp_path}/c/3"]


def test_a_locale_that_cannot_read_a_name_is_blamed_in_place_of_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "ascii")
    with pytest.raises(SourceError, match=r"not text in this locale's encoding, ascii; set PYTHONUTF8=1"):
        refuse_odd_names([f"{tmp_path}/M\udcc3\udcbcller_20200101.tif"])


def test_a_file_of_a_year_that_python_does_not_have_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "20200101.tif").touch()
    state = SimpleNamespace(st_mode=S_IFREG, st_size=1, st_mtime=6e11)
    monkeypatch.setattr(Path, "stat", lambda *_, **__: state)
    with pytest.raises(SourceError, match=r"20200101.tif: its time of modification: year \d+ is out of range; set it"):
        list(list_folder(f"{tmp_path}/20200101.tif"))


def test_a_file_that_is_deleted_while_it_is_listed_is_a_scene_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "20200101.tif"
    path.touch()
    monkeypatch.setattr("runner.source.folder.refuse_odd_names", lambda _: path.unlink())
    (item,) = list_folder(f"{tmp_path}/*.tif")
    assert (item.href, item.size) == (str(path), None)
