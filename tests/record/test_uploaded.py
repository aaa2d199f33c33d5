"""The list of a run's objects in a bucket, as its folder keeps it."""

from pathlib import Path

from runner.record.uploaded import UPLOADED, keep_uploaded, lacks_upload, uploaded_text

URL = "s3://bucket/means"


def test_what_a_killed_process_wrote_aside_of_it_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".uploaded.25043.part.json").write_text("{")
    (tmp_path / ".notes.25043.part.json").write_text("{")  # somebody else's
    keep_uploaded(tmp_path, uploaded_text(URL, []))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.25043.part.json", UPLOADED]
    assert not lacks_upload(tmp_path, URL)
