"""A complete run copied to a bucket: whole, once, over nobody's objects, and proved to have arrived."""

import hashlib
import json
import shutil
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from archive_folders import make_archive_folder, with_stages
from buckets import Bucket, files_of, moto_bucket, relay
from jobs import compose
from log_folders import asked, change
from run_folders import SMALL, make_run_folder
from scripted_server import Answer, Asked, ScriptedServer, error, scripted_server

from runner.config.composed import compose_job
from runner.errors import ConfigError, OutputError, RecordError
from runner.publish.address import address_of
from runner.publish.open import target_of
from runner.publish.target import CHUNK_BYTES, Target
from runner.publish.upload import upload_all, upload_run, uploaded_at_end
from runner.settings import JobSettings, S3Settings

SLOW = pytest.mark.slow
TINY = replace(SMALL, scenes=4, height=32, width=48, windows=3, parts=1, processes=1, left_out=0)
LARGE_BYTES = 2 * CHUNK_BYTES + 12345  # of a file in three parts


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with moto_bucket() as bucket:
        yield bucket


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run."""
    folder = with_stages(make_run_folder(tmp_path_factory.mktemp("made") / "run", TINY))
    (folder / "run.log").write_text("done\n")
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "run")


@pytest.fixture
def large(run: Path) -> Path:
    """A run, one of whose files is sent in parts."""
    (run / "run.log").write_bytes(np.random.default_rng(1).bytes(LARGE_BYTES))
    return run


@pytest.fixture(scope="module")
def between(bucket: Bucket) -> Iterator[ScriptedServer]:
    """A server before the bucket's, which sends requests on to it."""
    with scripted_server(relay(bucket.endpoint)) as server:
        yield server


@pytest.fixture
def server(between: ScriptedServer, bucket: Bucket) -> ScriptedServer:
    """The same, which has not been asked anything."""
    between.script = relay(bucket.endpoint)
    between.asked.clear()
    return between


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A prefix of each test's own."""
    return hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]


@cache
def default_job() -> JobSettings:
    return compose("fetch.attempts=2")


def job_of(bucket: Bucket, prefix: str, endpoint: str | None = None) -> JobSettings:
    s3 = S3Settings(endpoint_url=endpoint or bucket.endpoint)
    job = default_job()
    return replace(job, output=replace(job.output, upload=f"s3://{bucket.name}/{prefix}", s3=s3))


@cache
def whole_bucket(bucket: Bucket, endpoint: str) -> Target:
    found = target_of(job_of(bucket, "", endpoint))
    assert found is not None
    return found


def target(bucket: Bucket, prefix: str, endpoint: str | None = None) -> Target:
    return whole_bucket(bucket, endpoint or bucket.endpoint).below(prefix)


def verify(bucket: Bucket, prefix: str, cwd: Path) -> tuple[int, str]:
    words = [f"s3://{bucket.name}/{prefix}", "--", f"output.s3.endpoint_url={bucket.endpoint}"]
    done = asked(cwd, "verify", *words)
    return done.returncode, done.stdout + done.stderr


# --- what arrives -----------------------------------------------------------------------------------------------------


def test_every_file_arrives_as_it_is_and_the_upload_is_verified(bucket: Bucket, run: Path, prefix: str) -> None:
    upload_all(run, target(bucket, prefix))
    assert bucket.objects(f"{prefix}/") == files_of(run)
    assert verify(bucket, prefix, run)[0] == 0


def later(cwd: Path, bucket: Bucket, run: Path, prefix: str) -> tuple[int, str]:
    words = ["upload", run, f"s3://{bucket.name}/{prefix}", "--", f"output.s3.endpoint_url={bucket.endpoint}"]
    done = asked(cwd, *words)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def recorded(run: Path) -> Path:
    """A run with the config of a job, which says how a bucket is reached."""
    words = ["source=local", "source.url=/data/*.tif", "stages.spatial_mean.statistics=[mean,std,count,valid_fraction]"]
    return change(run, config=compose_job(words).resolved)


def test_a_complete_run_is_uploaded_later_and_its_verbs_say_where(bucket: Bucket, recorded: Path, prefix: str) -> None:
    before = files_of(recorded)
    code, text = later(recorded.parent, bucket, recorded, prefix)
    assert code == 0, text
    assert f"to s3://{bucket.name}/{prefix}" in text
    after = files_of(recorded)
    assert {name: after[name] for name in before} == before
    assert bucket.objects(f"{prefix}/") == after
    shown = asked(recorded.parent, "show", recorded).stdout
    assert f"upload       s3://{bucket.name}/{prefix}: complete, {len(before)} objects, " in shown
    assert "each verified by its hash" in shown
    assert f"s3://{bucket.name}/{prefix}" in asked(recorded.parent, "ls", recorded.parent).stdout
    assert later(recorded.parent, bucket, recorded, prefix) == (
        0,
        f"run is uploaded to s3://{bucket.name}/{prefix} already\n",
    )


def test_an_upload_that_is_asked_for_later_goes_over_nothing_and_goes_on(
    bucket: Bucket, recorded: Path, prefix: str
) -> None:
    bucket.put(f"{prefix}/notes.txt", b"somebody's")
    code, text = later(recorded.parent, bucket, recorded, prefix)
    assert code == 1
    assert f"s3://{bucket.name}/{prefix} holds notes.txt already" in text
    assert not (recorded / "uploaded.json").exists()
    bucket.delete(f"{prefix}/notes.txt")
    bucket.put(f"{prefix}/run.json", (recorded / "run.json").read_bytes())  # as an upload that was stopped
    assert later(recorded.parent, bucket, recorded, prefix)[0] == 0
    assert bucket.objects(f"{prefix}/") == files_of(recorded)


def test_a_run_that_is_not_complete_is_not_uploaded_later(bucket: Bucket, recorded: Path, prefix: str) -> None:
    change(recorded, status="FAILED", exit_code=1)
    code, text = later(recorded.parent, bucket, recorded, prefix)
    assert code == 2
    assert "is FAILED, and only a complete run is uploaded; " in text
    assert f"log resume {recorded} -- output.upload=s3://{bucket.name}/{prefix} completes and uploads it" in text


def test_resume_names_the_verb_that_uploads_a_complete_run(recorded: Path) -> None:
    done = asked(recorded.parent, "resume", recorded, "--", "output.upload=s3://results/means")
    assert f"log upload {recorded} s3://results/means uploads it" in done.stdout


def test_run_json_is_the_first_object_and_outputs_json_the_last(
    bucket: Bucket, server: ScriptedServer, run: Path, prefix: str
) -> None:
    upload_all(run, target(bucket, prefix, server.endpoint))
    written = [asked.path for asked in server.asked if asked.method == "PUT"]
    assert written[0] == f"/{bucket.name}/{prefix}/run.json"
    assert written[-2:] == [f"/{bucket.name}/{prefix}/{name}" for name in ("uploaded.json", "outputs.json")]


@SLOW
def test_a_large_file_goes_in_parts(bucket: Bucket, server: ScriptedServer, large: Path, prefix: str) -> None:
    upload_all(large, target(bucket, prefix, server.endpoint))
    parts = [asked for asked in server.asked if "partNumber" in asked.query]
    assert {asked.path for asked in parts} == {f"/{bucket.name}/{prefix}/run.log"}
    assert sorted(len(asked.body) for asked in parts) == [12345, CHUNK_BYTES, CHUNK_BYTES]
    assert bucket.objects(f"{prefix}/") == files_of(large)
    assert not [key for key in bucket.unfinished() if key.startswith(prefix)]


@SLOW
def test_an_object_in_parts_is_known_by_the_hash_that_the_store_gives_of_it(
    bucket: Bucket, server: ScriptedServer, large: Path, prefix: str
) -> None:
    """S3's hash of an object in parts is that of the hashes of its parts, and their number; moto gives none."""
    upload_all(large, target(bucket, prefix))
    whole = (large / "run.log").read_bytes()
    parts = [whole[at : at + CHUNK_BYTES] for at in range(0, len(whole), CHUNK_BYTES)]
    of_parts = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()

    def with_hash(asked: Asked) -> Answer:
        answer = relay(bucket.endpoint)(asked)
        hashed = (
            {"x-amz-checksum-sha256": f"{b64encode(of_parts).decode()}-3"} if asked.path.endswith("run.log") else {}
        )
        return answer._replace(headers={**answer.headers, **hashed})

    server.script = with_hash
    upload_all(large, target(bucket, prefix, server.endpoint))
    assert {asked.method for asked in server.asked if asked.path.endswith("run.log")} == {"HEAD"}


def test_an_upload_that_is_there_sends_nothing_again(
    bucket: Bucket, server: ScriptedServer, run: Path, prefix: str
) -> None:
    upload_all(run, target(bucket, prefix))
    upload_all(run, target(bucket, prefix, server.endpoint))
    assert {asked.method for asked in server.asked} == {"GET", "HEAD"}


def test_partials_stay_at_home(bucket: Bucket, run: Path, prefix: str) -> None:
    (run / "partials").mkdir()
    (run / "partials/1.task").write_bytes(b"kept")
    (run / "notes.txt").write_text("mine")
    upload_all(run, target(bucket, prefix))
    assert not {"partials/1.task", "notes.txt"} & set(bucket.objects(f"{prefix}/"))


@SLOW
def test_an_archive_is_uploaded_with_its_complete_stacks(bucket: Bucket, tmp_path: Path, prefix: str) -> None:
    folder = make_archive_folder(tmp_path / "rtc", {"10TET_VV": "COMPLETED", "10TET_VH": "COMPLETED"})
    upload_all(folder, target(bucket, prefix))
    assert bucket.objects(f"{prefix}/") == files_of(folder)
    named = {file["name"] for file in json.loads((folder / "uploaded.json").read_text())["files"]}
    assert {"stacks.parquet", "stacks/10TET_VV/uploaded.json"} <= named
    code, text = verify(bucket, prefix, tmp_path)
    assert (code, text.count("ok ")) == (0, 3)


# --- going on ---------------------------------------------------------------------------------------------------------


def test_half_an_upload_is_no_result_and_is_completed(
    bucket: Bucket, server: ScriptedServer, run: Path, prefix: str
) -> None:
    def breaks(asked: Asked) -> Answer:
        last = asked.path.endswith("spatial_mean.parquet") and asked.method == "PUT"
        return error(500, "InternalError") if last else relay(bucket.endpoint)(asked)

    server.script = breaks
    with pytest.raises(OutputError, match=r"spatial_mean\.parquet: the server fails"):
        upload_all(run, target(bucket, prefix, server.endpoint))
    assert "outputs.json" not in bucket.objects(f"{prefix}/")
    assert not (run / "uploaded.json").exists()
    code, text = verify(bucket, prefix, run)
    assert code == 1
    assert "the upload is not complete" in text
    upload_all(run, target(bucket, prefix))
    assert bucket.objects(f"{prefix}/") == files_of(run)


@SLOW
def test_parts_that_a_killed_upload_left_are_removed(bucket: Bucket, run: Path, prefix: str) -> None:
    bucket.begin(f"{prefix}/run.log", b"half")
    bucket.begin(f"{prefix}/of_somebody_else.bin", b"half")
    upload_all(run, target(bucket, prefix))
    assert f"{prefix}/run.log" not in bucket.unfinished()
    assert f"{prefix}/of_somebody_else.bin" in bucket.unfinished()


@SLOW
def test_a_failed_upload_in_parts_leaves_none(bucket: Bucket, server: ScriptedServer, large: Path, prefix: str) -> None:
    def breaks(asked: Asked) -> Answer:
        second = asked.query.get("partNumber") == "2"
        return error(403, "AccessDenied") if second else relay(bucket.endpoint)(asked)

    server.script = breaks
    with pytest.raises(OutputError, match=r"run\.log: access denied to write here"):
        upload_all(large, target(bucket, prefix, server.endpoint))
    assert f"{prefix}/run.log" not in bucket.unfinished()


# --- refusals ---------------------------------------------------------------------------------------------------------


@SLOW
@pytest.mark.parametrize("name", ["run.json", "run.log", "outputs.json", "uploaded.json"])
def test_an_object_of_another_run_stays_as_it_is(bucket: Bucket, run: Path, prefix: str, name: str) -> None:
    bucket.put(f"{prefix}/{name}", b"another's")
    with pytest.raises(OutputError, match=f"{name} is there already, and is another run's; name another address"):
        upload_all(run, target(bucket, prefix))
    assert bucket.get(f"{prefix}/{name}") == b"another's"


@SLOW
@pytest.mark.parametrize("name", ["run.log", "temporal_mean.tif"], ids=["in parts", "whole"])
def test_an_object_that_comes_in_between_is_not_written_over(
    bucket: Bucket, server: ScriptedServer, large: Path, prefix: str, name: str
) -> None:
    def races(asked: Asked) -> Answer:
        ends = asked.method == "POST" and "uploadId" in asked.query
        if asked.path.endswith(name) and (ends or (asked.method == "PUT" and not asked.query)):
            bucket.put(f"{prefix}/{name}", b"another's")
        return relay(bucket.endpoint)(asked)

    server.script = races
    with pytest.raises(OutputError, match=f"{name} is there already"):
        upload_all(large, target(bucket, prefix, server.endpoint))
    assert bucket.get(f"{prefix}/{name}") == b"another's"


def test_bytes_that_change_on_their_way_are_found_and_removed(
    bucket: Bucket, server: ScriptedServer, run: Path, prefix: str
) -> None:
    def alters(asked: Asked) -> Answer:
        """A proxy that alters a body, before a store that knows no checksums."""
        headers = {name: value for name, value in asked.headers.items() if not name.startswith("x-amz-checksum")}
        if asked.method == "PUT" and asked.path.endswith("temporal_mean.tif"):
            asked = asked._replace(body=asked.body[:-1] + bytes([asked.body[-1] ^ 1]))
        return relay(bucket.endpoint)(asked._replace(headers=headers))

    server.script = alters
    with pytest.raises(OutputError, match="what arrived is not what was sent"):
        upload_all(run, target(bucket, prefix, server.endpoint))
    assert "temporal_mean.tif" not in bucket.objects(f"{prefix}/")


def test_a_result_that_was_altered_is_not_uploaded(bucket: Bucket, run: Path, prefix: str) -> None:
    with (run / "temporal_mean.tif").open("ab") as file:
        file.write(b"!")
    with pytest.raises(RecordError, match=r"temporal_mean\.tif has changed since it was written"):
        upload_all(run, target(bucket, prefix))
    assert not bucket.objects(f"{prefix}/")


def test_a_run_that_is_not_complete_is_not_uploaded(bucket: Bucket, tmp_path: Path, prefix: str) -> None:
    folder = make_run_folder(tmp_path / "run", TINY, "INTERRUPTED")
    with pytest.raises(RecordError, match="only a complete run is uploaded"):
        upload_run(folder, target(bucket, prefix))


# --- before a run -----------------------------------------------------------------------------------------------------


def test_the_question_whether_a_place_can_be_written_leaves_nothing(
    bucket: Bucket, tmp_path: Path, prefix: str
) -> None:
    with pytest.raises(ZeroDivisionError), uploaded_at_end(job_of(bucket, prefix), tmp_path):
        raise ZeroDivisionError  # the run fails, and is not uploaded
    assert not bucket.objects(f"{prefix}/")
    assert not [key for key in bucket.unfinished() if key.startswith(prefix)]


def test_a_place_that_holds_something_is_refused_before_the_run(bucket: Bucket, tmp_path: Path, prefix: str) -> None:
    bucket.put(f"{prefix}/notes.txt", b"mine")
    with (
        pytest.raises(OutputError, match=r"holds notes\.txt already"),
        uploaded_at_end(job_of(bucket, prefix), tmp_path),
    ):
        pytest.fail("the run has begun")


@SLOW
def test_a_place_whose_name_another_begins_with_is_free(bucket: Bucket, run: Path, prefix: str) -> None:
    bucket.put(f"{prefix}2/notes.txt", b"mine")
    with uploaded_at_end(job_of(bucket, prefix), run):
        pass
    assert bucket.objects(f"{prefix}/") == files_of(run)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (error(403, "AccessDenied"), "access denied to write here .AccessDenied.; check AWS_PROFILE or output.s3.prof"),
        (error(403, "RequestTimeTooSkewed"), "the clock of this machine differs"),
        (error(400, "ExpiredToken"), "the credentials have expired"),
        (error(404, "NoSuchBucket"), "there is no such bucket; check its name and output.s3.endpoint_url"),
        (error(503, "SlowDown"), "the server throttles"),
        (error(301, "PermanentRedirect"), "another region .*set output.s3.region"),
    ],
    ids=lambda value: value.body.decode().split("<Code>")[1].split("<")[0] if isinstance(value, Answer) else "",
)
def test_a_bucket_that_cannot_be_written_is_refused_before_the_run(
    bucket: Bucket, server: ScriptedServer, answer: Answer, message: str
) -> None:
    server.script = lambda asked: answer
    with pytest.raises(OutputError, match=rf"s3://results/new/outputs\.json: .*{message}"):
        target(bucket, "new", server.endpoint).refuse_unwritable()


@SLOW
def test_a_server_that_is_not_there_is_named(bucket: Bucket, tmp_path: Path) -> None:
    job = job_of(bucket, "new", "http://127.0.0.1:9")
    refused = pytest.raises(OutputError, match="nothing listens at .*check output.s3.endpoint_url")
    with refused, uploaded_at_end(job, tmp_path):
        pytest.fail("the run has begun")


@pytest.mark.parametrize(
    "url", ["bucket/means", "file:///x", "s3://", "s3:///x", "s3://b/x//y", "s3://b/../x", "s3://b/*.tif", "s3://a@b/x"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^output\.upload="):
        address_of(url)


@pytest.mark.parametrize(
    ("url", "prefix"),
    [("s3://b", ""), ("s3://b/", ""), ("gs://b/x", "x"), ("az://c/x/y/", "x/y"), ("s3://b/ä b", "ä b")],
)
def test_an_address_has_a_prefix_without_a_slash_at_its_end(url: str, prefix: str) -> None:
    assert address_of(url).prefix == prefix


# --- verify -----------------------------------------------------------------------------------------------------------


@SLOW
@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda bucket, prefix: bucket.put(f"{prefix}/temporal_mean.tif", b"II*"), "temporal_mean.tif: altered"),
        (lambda bucket, prefix: bucket.delete(f"{prefix}/inputs.parquet"), "inputs.parquet: is missing"),
        (lambda bucket, prefix: bucket.delete(f"{prefix}/outputs.json"), "outputs.json: is missing"),
        (lambda bucket, prefix: bucket.delete(f"{prefix}/uploaded.json"), "the upload is not complete"),
        (lambda bucket, prefix: bucket.put(f"{prefix}/more.tif", b"II*"), "did not upload: more.tif"),
        (lambda bucket, prefix: bucket.put(f"{prefix}/uploaded.json", b"{"), "cannot be read as JSON"),
    ],
    ids=["altered", "missing", "without the last", "without the list", "more", "not JSON"],
)
def test_verify_finds_what_has_changed(bucket: Bucket, run: Path, prefix: str, change: object, found: str) -> None:
    (run / "run.log").write_text("short")
    upload_all(run, target(bucket, prefix))
    change(bucket, prefix)  # type: ignore[operator]
    code, text = verify(bucket, prefix, run)
    assert code == 1
    assert found in text


def test_verify_of_nothing_names_the_address(bucket: Bucket, tmp_path: Path) -> None:
    code, text = verify(bucket, "nobody/was/here", tmp_path)
    assert code == 2
    assert "s3://results/nobody/was/here holds nothing" in text


def test_verify_takes_settings_of_the_bucket_only(bucket: Bucket, tmp_path: Path) -> None:
    done = asked(tmp_path, "verify", "s3://results/x", "--", "chunks=row")
    assert done.returncode == 2
    assert "only output.s3." in done.stderr
