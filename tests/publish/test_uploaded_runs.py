"""Runs that upload, by the command line: killed in the middle, refused, resumed, on several servers."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from buckets import Bucket, as_googles, environment, files_of, moto_bucket, relay
from emulators import AZURE_ACCOUNT, AZURE_KEY, azurite, make_container, s3rver
from jobs import Typed
from log_folders import facts_of
from scenes_on_disk import speckle, write_scene
from scripted_server import Answer, Asked, error, scripted_server
from stack_archives import BY, same_results, source_words, write_archive
from typed import typed as typed_in
from waiting import LONG, wait_until

from runner.publish import cloud_target
from runner.publish.open import open_target
from runner.publish.target import Target
from runner.settings import AzureSettings, GcsSettings, S3Settings
from runner.source.stores import Clouds, Stores

pytestmark = pytest.mark.slow  # each starts runs

STACKS = ["10T00_VH", "10T00_VV", "10T01_VH", "10T01_VV", "10T02_VH", "10T02_VV"]
Script = Callable[[Asked], Answer]


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with moto_bucket() as bucket:
        yield bucket


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Scenes whose mean is a raster of several parts."""
    for at, day in enumerate((6, 12)):
        write_scene(tmp_path / "data" / f"S1A_202001{day:02}_ASC.tif", speckle((2500, 2500), seed=at))
    return tmp_path / "data"


def words_of(endpoint: str, place: str = "means") -> list[str]:
    return [f"output.upload=s3://results/{place}", f"output.s3.endpoint_url={endpoint}", "output.dir=run"]


def log(cwd: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return typed_in(cwd, "log", *words, env={**environment(), **more})


def killed(cwd: Path, words: list[str], endpoint: str, stalls: Callable[[Asked], bool]) -> None:
    """Run a job until a request stalls on its way to the bucket, and kill its process then."""
    stalled, end = threading.Event(), threading.Event()

    def script(asked: Asked) -> Answer:
        if stalls(asked):
            stalled.set()
            end.wait(LONG)
            return error(500, "InternalError")
        return relay(endpoint)(asked)

    with scripted_server(script) as between:
        command = [sys.executable, "-m", "runner", *words, *words_of(between.endpoint)]
        with subprocess.Popen(command, cwd=cwd, env=environment(), stderr=subprocess.DEVNULL) as process:
            wait_until(lambda: stalled.is_set() or process.poll() is not None)
            assert process.poll() is None
            process.send_signal(signal.SIGKILL)
        end.set()


def is_part(number: str) -> Callable[[Asked], bool]:
    return lambda asked: asked.query.get("partNumber") == number


# --- one stack --------------------------------------------------------------------------------------------------------


def test_a_run_that_is_killed_while_it_uploads_goes_on_without_computing(
    bucket: Bucket, scenes: Path, tmp_path: Path
) -> None:
    killed(tmp_path, ["source=local", "source.url=data/*.tif"], bucket.endpoint, is_part("2"))
    before = files_of(tmp_path / "run")
    assert facts_of(tmp_path / "run")["status"] == "COMPLETED"
    assert "outputs.json" not in bucket.objects("means/")
    assert bucket.unfinished()
    assert "uploaded.json beside this page lists the objects" in (tmp_path / "run/report.html").read_text()
    assert "not yet: s3://results/means" in log(tmp_path, "ls", ".").stdout
    access = f"output.s3.endpoint_url={bucket.endpoint}"
    assert log(tmp_path, "verify", "s3://results/means", "--", access).returncode == 1
    shutil.rmtree(scenes)  # nothing is read again
    done = log(tmp_path, "resume", "run", "--", access)
    assert done.returncode == 0, done.stderr
    after = files_of(tmp_path / "run")
    assert {name: after[name] for name in before} == before
    assert bucket.objects("means/") == after
    assert not bucket.unfinished()
    assert log(tmp_path, "verify", "s3://results/means", "--", access).returncode == 0
    assert "nothing to resume" in log(tmp_path, "resume", "run").stdout


def test_ctrl_c_ends_an_upload_and_leaves_no_parts(bucket: Bucket, scenes: Path, tmp_path: Path) -> None:
    reached = threading.Event()

    def script(asked: Asked) -> Answer:
        if asked.query.get("partNumber") == "1":
            reached.set()
        return relay(bucket.endpoint)(asked)

    with scripted_server(script) as between:
        command = [sys.executable, "-m", "runner", "source=local", "source.url=data/*.tif", *words_of(between.endpoint)]
        with subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: reached.is_set() or process.poll() is not None)
            process.send_signal(signal.SIGINT)
            _, text = process.communicate(timeout=LONG)
    assert process.returncode == 130
    assert "to go on with their upload: " in text
    assert not bucket.unfinished()
    assert "outputs.json" not in bucket.objects("means/")


def test_a_place_that_is_taken_is_refused_before_anything_is_read_or_written(
    bucket: Bucket, scenes: Path, tmp_path: Path, typed: Typed
) -> None:
    bucket.put("means/run.json", b"another's")
    words = ["source=local", "source.url=data/*.tif", *words_of(bucket.endpoint)]
    done = typed(*words, env=environment())
    assert done.returncode == 1
    assert "s3://results/means holds run.json already" in done.stderr
    assert not (tmp_path / "run").exists()


def test_rerun_uploads_nothing_unless_asked(
    bucket: Bucket, folder_of_scenes: Path, tmp_path: Path, typed: Typed
) -> None:
    words = ["source=local", f"source.url={folder_of_scenes}/*.tif", *words_of(bucket.endpoint)]
    assert typed(*words, env=environment()).returncode == 0
    first = bucket.objects()
    done = log(tmp_path, "rerun", "run")
    assert done.returncode == 0, done.stderr
    assert bucket.objects() == first
    done = log(tmp_path, "rerun", "run", "--", "output.upload=s3://results/again")
    assert done.returncode == 0, done.stderr
    assert bucket.objects("again/")["temporal_mean.tif"] == first["means/temporal_mean.tif"]


# --- an archive -------------------------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path: Path) -> list[str]:
    return [*source_words(write_archive(tmp_path / "archive")), BY]


def test_an_archive_that_is_killed_while_it_uploads_is_resumed_to_the_same_bytes(
    bucket: Bucket, archive: list[str], tmp_path: Path, typed: Typed
) -> None:
    assert typed(*archive, "output.dir=alone").returncode == 0
    seen: list[str] = []

    def fourth(asked: Asked) -> bool:
        if asked.method == "PUT" and asked.path.endswith("/outputs.json"):
            seen.append(asked.path)
        return len(seen) >= 4 and asked.method == "PUT"

    killed(tmp_path, archive, bucket.endpoint, fourth)
    half = bucket.objects("means/")
    assert "uploaded.json" not in half
    complete = [name for name in STACKS if f"stacks/{name}/outputs.json" in half]
    assert 0 < len(complete) < len(STACKS)
    times = {name: facts_of(tmp_path / "run/stacks" / name)["started"] for name in complete}
    begun = tmp_path / "run/stacks" / next(name for name in reversed(STACKS) if name not in complete)
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir()
    (begun / "run.json").touch()  # as a kill in its first moment leaves it
    done = log(tmp_path, "resume", "run", "--", f"output.s3.endpoint_url={bucket.endpoint}")
    assert done.returncode == 0, done.stderr
    assert {name: facts_of(tmp_path / "run/stacks" / name)["started"] for name in complete} == times
    assert bucket.objects("means/") == files_of(tmp_path / "run")
    assert all(same_results(tmp_path / "run/stacks" / name, tmp_path / "alone/stacks" / name) for name in STACKS)
    assert half.items() <= bucket.objects("means/").items()
    assert not bucket.unfinished()
    done = log(tmp_path, "verify", "s3://results/means", "--", f"output.s3.endpoint_url={bucket.endpoint}")
    assert done.returncode == 0, done.stdout
    assert "verified: 6 stacks and the archive" in done.stdout
    access = f"output.s3.endpoint_url={bucket.endpoint}"
    later = log(tmp_path, "upload", "alone", "s3://results/later", "--", access)  # which its job did not ask for
    assert later.returncode == 0, later.stderr
    assert bucket.objects("later/") == files_of(tmp_path / "alone")
    assert "s3://results/later: complete, 6 stacks, and of the archive " in log(tmp_path, "show", "alone").stdout


def test_a_stack_whose_upload_is_denied_fails_and_is_uploaded_by_resume(
    bucket: Bucket, archive: list[str], tmp_path: Path, typed: Typed
) -> None:
    def denies(asked: Asked) -> Answer:
        denied = "/stacks/10T01_VV/" in asked.path and asked.method == "PUT"
        return error(403, "AccessDenied") if denied else relay(bucket.endpoint)(asked)

    with scripted_server(denies) as between:
        done = typed(*archive, "archive.on_error=continue", *words_of(between.endpoint), env=environment())
    assert done.returncode == 1
    assert "1 stack failed: 10T01_VV: s3://results/means/stacks/10T01_VV/run.json: access denied" in done.stderr
    started = {name: facts_of(tmp_path / "run/stacks" / name)["started"] for name in STACKS}
    done = log(tmp_path, "resume", "run", "--", f"output.s3.endpoint_url={bucket.endpoint}")
    assert done.returncode == 0, done.stderr
    assert {name: facts_of(tmp_path / "run/stacks" / name)["started"] for name in STACKS} == started
    assert bucket.objects("means/") == files_of(tmp_path / "run")


def test_a_bucket_is_source_and_target_at_once(bucket: Bucket, tmp_path: Path, typed: Typed) -> None:
    root = write_archive(tmp_path / "archive")
    for path in root.rglob("*.tif"):
        bucket.put(f"scenes/{path.relative_to(root)}", path.read_bytes())
    source = [word for word in source_words(root) if not word.startswith("source.url")]
    words = [*source, "source.url=s3://results/scenes/**/*.tif", f"source.s3.endpoint_url={bucket.endpoint}"]
    done = typed(*words, BY, *words_of(bucket.endpoint), env=environment())
    assert done.returncode == 0, done.stderr
    assert bucket.objects("means/") == files_of(tmp_path / "run")


# --- other servers ----------------------------------------------------------------------------------------------------


def hold(cwd: Path, url: str, access: list[str], **more: str) -> None:
    """A run uploads to an address, is verified there, and another one is refused."""
    job = ["source=local", "source.url=data/*.tif", f"output.upload={url}", *access]
    done = typed_in(cwd, *job, "output.dir=run", env={**environment(), **more})
    assert done.returncode == 0, done.stderr
    verified = log(cwd, "verify", url, "--", *access, **more)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert f"{len(files_of(cwd / 'run'))} objects" in verified.stdout
    refused = typed_in(cwd, *job, "output.dir=other", env={**environment(), **more})
    assert refused.returncode == 1
    assert "already, and a run uploads to an address of its own" in refused.stderr
    (cwd / "run/uploaded.json").unlink()
    again = log(cwd, "resume", "run", **more)  # everything is known by its content
    assert again.returncode == 0, again.stderr
    shutil.copytree(cwd / "run", cwd / "altered")
    (cwd / "altered/run.log").write_text("another's")
    (cwd / "altered/uploaded.json").unlink()
    denied = log(cwd, "resume", "altered", **more)
    assert denied.returncode == 1
    assert "run.log is there already, and is another run's" in denied.stderr


def test_s3rver_takes_an_upload(scenes: Path, tmp_path: Path) -> None:
    """It knows no checksums and no conditions."""
    (tmp_path / "s3").mkdir()
    with s3rver(tmp_path / "s3") as endpoint:
        keys = {"AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER"}
        hold(tmp_path, "s3://results/means", [f"output.s3.endpoint_url={endpoint}"], **keys)


def test_googles_protocol_takes_an_upload(bucket: Bucket, scenes: Path, tmp_path: Path) -> None:
    with scripted_server(as_googles(relay(bucket.endpoint))) as google:
        account = {"gcs_base_url": google.endpoint, "disable_oauth": True, "client_email": "", "private_key": ""}
        (tmp_path / "account.json").write_text(json.dumps({**account, "private_key_id": ""}))
        access = [f"output.gcs.endpoint_url={google.endpoint}"]
        hold(tmp_path, "gs://results/means", access, GOOGLE_SERVICE_ACCOUNT=str(tmp_path / "account.json"))
    assert bucket.objects("means/")["temporal_mean.tif"] == files_of(tmp_path / "run")["temporal_mean.tif"]


@pytest.mark.parametrize("store", ["google", "azure"])
def test_a_large_file_goes_in_parts_and_over_no_other(
    bucket: Bucket, tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_target, "_MOST_AT_ONCE", 2**20)
    large, other = bytes(range(256)) * 100_000, bytes(25_600_000)
    (tmp_path / "large.tif").write_bytes(large)
    (tmp_path / "other.tif").write_bytes(other)
    sha256, others = (hashlib.sha256(content).hexdigest() for content in (large, other))
    with (google_target if store == "google" else azure_target)(bucket, tmp_path, monkeypatch) as target:
        assert target.first() is None
        assert target.put("x/large.tif", tmp_path / "large.tif", sha256, lambda _: None)
        assert target.holds("x/large.tif", tmp_path / "large.tif", sha256)
        assert not target.put("x/large.tif", tmp_path / "other.tif", others, lambda _: None)
        assert target.holds("x/large.tif", tmp_path / "large.tif", sha256)
        assert not target.holds("x/large.tif", tmp_path / "other.tif", others)
        assert target.sizes() == {"x/large.tif": 25_600_000}
        assert target.first() == "x/large.tif"


@contextmanager
def google_target(bucket: Bucket, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Target]:
    with scripted_server(as_googles(relay(bucket.endpoint))) as google:
        account = {"gcs_base_url": google.endpoint, "disable_oauth": True, "client_email": "", "private_key": ""}
        (folder / "account.json").write_text(json.dumps({**account, "private_key_id": ""}))
        patch.setenv("GOOGLE_SERVICE_ACCOUNT", str(folder / "account.json"))
        clouds = Clouds(gcs=GcsSettings(endpoint_url=google.endpoint))
        yield open_target("gs://results/large", Stores(S3Settings(), clouds=clouds))


@contextmanager
def azure_target(bucket: Bucket, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Target]:
    with azurite() as endpoint:
        make_container(endpoint, "results")
        patch.setenv("AZURE_STORAGE_ACCESS_KEY", AZURE_KEY)
        clouds = Clouds(azure=AzureSettings(account=AZURE_ACCOUNT, endpoint_url=endpoint))
        yield open_target("az://results/large", Stores(S3Settings(), clouds=clouds))


def test_azures_store_takes_an_upload(scenes: Path, tmp_path: Path) -> None:
    with azurite() as endpoint:
        make_container(endpoint, "results")
        access = [f"output.azure.endpoint_url={endpoint}", f"output.azure.account={AZURE_ACCOUNT}"]
        hold(tmp_path, "az://results/means", access, AZURE_STORAGE_ACCESS_KEY=AZURE_KEY)
