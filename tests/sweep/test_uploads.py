"""Jobs of a sweep upload to addresses of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from buckets import Bucket, environment, files_of, moto_bucket
from jobs import Cli

pytestmark = pytest.mark.slow  # each starts runs


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with moto_bucket() as bucket:
        yield bucket


def words_of(bucket: Bucket, prefix: str) -> list[str]:
    address = [f"output.upload=s3://{bucket.name}/{prefix}", f"output.s3.endpoint_url={bucket.endpoint}"]
    return ["-m", "hydra.sweep.dir=sweep", "source=local", "source.url=data/*.tif", "chunks=row,block", *address]


@pytest.mark.parametrize(
    ("launcher", "names"), [(["hydra/launcher=isolated"], ["000", "001"]), ([], ["0", "1"])], ids=["isolated", "basic"]
)
@pytest.mark.usefixtures("folder_of_scenes")
def test_each_job_goes_below_the_address_of_all(
    bucket: Bucket, cli: Cli, tmp_path: Path, launcher: list[str], names: list[str]
) -> None:
    done = cli(*words_of(bucket, "all/"), *launcher, env=environment())
    assert done.returncode == 0, done.stderr
    assert {path.split("/")[0] for path in bucket.objects("all/")} == set(names)
    for name in names:
        uploaded = bucket.objects(f"all/{name}/")
        assert uploaded == {
            path: body for path, body in files_of(tmp_path / "sweep" / name).items() if path in uploaded
        }
        assert "outputs.json" in uploaded
    if launcher:
        assert "upload" not in (tmp_path / "sweep/experiment/best.yaml").read_text()
