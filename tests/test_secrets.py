"""A canary in every place a secret may come from is seen nowhere: not in the run folder, not on the console."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from jobs import Cli

from runner.demo.archive import ArchiveSpec, ensure_archive
from runner.demo.server import serve

pytestmark = pytest.mark.slow  # each starts runs

CANARY = "canary-4711/secret+x"  # as AWS makes them: base64 that URLs have to quote
FORMS = tuple(form.encode() for form in (CANARY, "canary-4711%2Fsecret%2Bx", "canary-4711"))
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "AWS_SESSION_TOKEN": f"token-{CANARY}",
    "GDAL_HTTP_HEADERS": f"Authorization: Bearer {CANARY},X-Key: header-{CANARY}",
    "GDAL_HTTP_USERPWD": f"me:{CANARY}",
}
LOUD = ("hydra.verbose=true", "debug=trace")
SIGNED = (
    "source=sentinel1_rtc",
    "source.url=s3://demo-sentinel1-rtc/tiles/**/Gamma0_VV.tif",
    "source.s3.anonymous=false",
    "source.limit=2",
    "output.dir=result",
)
CLUSTERS = ("cluster@stages.spatial_mean.cluster=processes", "stages.spatial_mean.cluster.n_workers=1")


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An archive such as the demo's, of small scenes, served for as long as these tests run."""
    small = ArchiveSpec(scenes=2, width=300, height=200, block=128)
    with serve(ensure_archive(tmp_path_factory.mktemp("archive"), small)) as address:
        yield address


def with_secrets(**more: str) -> dict[str, str]:
    return {**os.environ, **CREDENTIALS, **more}


def content_of(path: Path) -> bytes:
    """A file's bytes; those of a Parquet file with what is compressed in it."""
    if path.suffix != ".parquet":
        return path.read_bytes()
    table = pq.read_table(path)
    return path.read_bytes() + repr((table.to_pylist(), table.schema.metadata)).encode()


def assert_unseen(done: subprocess.CompletedProcess[str], folder: Path) -> None:
    shown = (done.stdout + done.stderr).encode()
    kept = {path.relative_to(folder): content_of(path) for path in folder.rglob("*") if path.is_file()}
    for form in FORMS:
        assert form not in shown
        assert not [path for path, content in kept.items() if form in content]
        assert not [path for path in folder.rglob("*") if form.decode() in path.name]


@pytest.mark.parametrize(
    "words",
    [
        (),
        (*CLUSTERS, *LOUD),
        pytest.param(("reader=gdal", *LOUD), marks=pytest.mark.slow),
        pytest.param(("engine=xarray", *LOUD), marks=pytest.mark.slow),
    ],
)
def test_a_run_that_completes_shows_no_secret(cli: Cli, tmp_path: Path, endpoint: str, words: tuple[str, ...]) -> None:
    done = cli(*SIGNED, *words, env=with_secrets(AWS_ENDPOINT_URL=endpoint))
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "result/run.json").read_text())["status"] == "COMPLETED"
    assert_unseen(done, tmp_path)


def test_a_sweep_shows_no_secret(cli: Cli, tmp_path: Path, endpoint: str) -> None:
    signed = [word for word in SIGNED if not word.startswith("output.dir=")]
    words = ("-m", "hydra/launcher=isolated", "hydra.sweep.dir=sweep", *signed, *LOUD, "sweep.baseline=['mask=nodata']")
    done = cli(*words, env=with_secrets(AWS_ENDPOINT_URL=endpoint))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sweep/000/console.log").stat().st_size > 100
    assert (tmp_path / "sweep/sweep.html").is_file()
    assert_unseen(done, tmp_path)


def test_a_password_in_the_endpoint_is_shown_by_no_run(cli: Cli, tmp_path: Path, endpoint: str) -> None:
    with_password = endpoint.replace("://", f"://me:{quote(CANARY, safe='')}@")
    done = cli(*SIGNED, *LOUD, env=with_secrets(AWS_ENDPOINT_URL=with_password))
    assert done.returncode == 0, done.stderr
    assert_unseen(done, tmp_path)


def test_credentials_of_a_profile_are_shown_by_no_run(cli: Cli, tmp_path: Path, endpoint: str) -> None:
    """They are not in the environment, so that they are known by where they stand alone."""
    home = tmp_path.with_name(f"{tmp_path.name}-home")  # where GDAL looks too, unlike for AWS_SHARED_CREDENTIALS_FILE
    (home / ".aws").mkdir(parents=True)
    (home / ".aws/credentials").write_text(
        f"[work]\naws_access_key_id=AKIDEXAMPLE\naws_secret_access_key={CANARY}\naws_session_token=token-{CANARY}\n"
    )
    environment = {**os.environ, "AWS_ENDPOINT_URL": endpoint, "HOME": str(home)}
    done = cli(*SIGNED, *LOUD, "source.s3.profile=work", "reader=gdal", env=environment)
    assert done.returncode == 0, done.stderr
    assert_unseen(done, tmp_path)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"AWS_ENDPOINT_URL": f"http://me:{quote(CANARY, safe='')}@127.0.0.1:9"}, ()),
        ({"AWS_ENDPOINT_URL": f"http://127.0.0.1:9/?X-Amz-Signature={quote(CANARY, safe='')}"}, ()),
        pytest.param(
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            ("source=manifest", "source.url=s3://lists/scenes.csv"),
            marks=pytest.mark.slow,
        ),
        ({}, (f"source.url=s3://demo-sentinel1-rtc/{CANARY}/*.tif", "source=demo")),
        ({}, (f"gdal.options={{GDAL_HTTP_HEADERS: 'Authorization: {CANARY}",)),
        ({}, ("hydra.run.dir=outputs/${oc.env:AWS_SESSION_TOKEN}",)),
        ({}, ("-m", f"+source.s3.secret_access_key={CANARY},b")),
    ],
)
def test_a_run_that_fails_shows_no_secret(
    cli: Cli, tmp_path: Path, environment: dict[str, str], words: tuple[str, ...]
) -> None:
    multirun, others = words[:1] == ("-m",), [word for word in words if word != "-m"]
    first = ("-m",) if multirun else ()
    loud = ("hydra.verbose=true", "debug=trace", "fetch.attempts=1")  # nobody answers some of them
    done = cli(*first, *SIGNED, *loud, *others, env=with_secrets(**environment))
    assert done.returncode in (1, 2), done.stderr
    assert "error:" in done.stderr
    assert_unseen(done, tmp_path)
