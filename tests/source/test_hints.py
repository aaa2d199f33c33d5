"""Where nothing matches, what lies there is said with a line ready to paste."""

from pathlib import Path

import pytest
from jobs import local_source

from runner.errors import SourceError
from runner.settings import S3Settings
from runner.source.hints import nothing_hint
from runner.source.listing import list_objects
from runner.source.stores import Stores


@pytest.mark.parametrize(
    ("url", "names", "hint"),
    [
        (
            "s3://b/t",
            ["s3://b/t/1.tif", "s3://b/t/2.tif"],
            "it is a folder of 2 files .tif; write 's=\"s3://b/t/*.tif\"'",
        ),
        ("/d/", ["/d/2020/1.TIF"], "it is a folder of 1 file .TIF; write 's=\"/d/**/*.TIF\"'"),
        ("/d/*.tif", ["/d/.1.tif"], "; '*' passes over /d/.1.tif, where a name begins with a dot; write the dot"),
        ("/d/*.tif", ["/d/1.TIF"], "but 1 file .TIF would if they ended so; write 's=\"/d/*.TIF\"'"),
        (
            "/d/*_VV.tif",
            ["/d/1_VV.tiff", "/d/1_VH.tiff"],
            "but 1 file .tiff would if they ended so; write 's=\"/d/*_VV.tiff\"'",
        ),
        (
            "/d/*.tif",
            ["/d/x/1.tif"],
            "; 1 file .tif there, such as /d/x/1.tif; '*' stays within one folder, ",
        ),
        (
            "/d/data [2020]/*.tif",
            ["/d/other/1.tif", "/d/data [2020]/1.tif"],
            "; 1 file .tif would if brackets stood for themselves; write 's=\"/d/data [[]2020]/*.tif\"'",
        ),
        ("s3://b/[x]/*.tif", ["s3://b/[x]/1.tif"], "write 's=\"s3://b/[[]x]/*.tif\"'"),
        (
            "/d/[x]/*.tif",
            ["/d/y/1.tif", "/d/[x]/1.TIF"],
            "but 1 file .TIF would if they ended so; write 's=\"/d/[[]x]/*.TIF",
        ),
        ("/d/[x]/a*.tif", ["/d/y/1.tif", "/d/[x]/1.tif"], "; 1 file .tif there, such as /d/[x]/1.tif"),
        ("/d/[x]", ["/d/[x]/1.tif"], "it is a folder of 1 file .tif; write 's=\"/d/[[]x]/*.tif\"'"),
        ("/d/[xy]/*.tif", ["/d/z/1.tif"], "; 1 file .tif there, such as /d/z/1.tif"),
        ("/d/x.tif", [], "; name one object, or a glob such as 'prefix/**/*.tif'"),
        ("/d/*.tif", [], "; '*' stays within one folder, '**' goes below"),
        ("/d/**.tif", ["/d/\x1b1.tif"], r"such as /d/\x1b1.tif"),
    ],
)
def test_what_was_probably_meant_is_written_out(url: str, names: list[str], hint: str) -> None:
    assert hint.replace("'s=", "'source.url=") in nothing_hint(url, names)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [("{}", "{}/**/*.TIF"), ("{}/", "{}/**/*.TIF"), ("{}/a/*.tif", "{}/a/*.TIF"), ("{}/a", "{}/a/*.TIF")],
)
def test_a_folder_of_this_machine_is_looked_into(tmp_path: Path, url: str, wanted: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/20200101.TIF").touch()
    with pytest.raises(SourceError) as caught:
        list_objects(local_source(tmp_path, url=url.format(tmp_path)), Stores(S3Settings()))
    assert f"""write 'source.url="{wanted.format(tmp_path)}"'""" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("{}/tils/*.tif", "there is no folder {}/tils; did you mean {}/tiles"),
        ("{}/tils/2020/*/1.tif", "there is no folder {}/tils; did you mean {}/tiles"),
        ("{}/other/1.tif", "there is no folder {}/other"),
        ("{}/$DATA/*.tif", "there is no folder {}/$DATA; write ${{oc.env:DATA}} for the variable of the environment"),
    ],
)
def test_the_folder_that_is_not_there_is_named(tmp_path: Path, url: str, said: str) -> None:
    (tmp_path / "tiles").mkdir()
    with pytest.raises(SourceError) as caught:
        list_objects(local_source(tmp_path, url=url.format(tmp_path)), Stores(S3Settings()))
    assert str(caught.value).endswith(": nothing matches; " + said.format(*[tmp_path] * 2))
