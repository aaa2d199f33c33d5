"""Scenes of web servers, of Google's and of Azure's stores, by the command line: the means of numpy, and no secret."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import obstore
import pyarrow.parquet as pq
import pytest
import rasterio
from emulators import AZURE_ACCOUNT, AZURE_KEY, azurite, fake_gcs_server, make_container, rustac
from jobs import Cli, Typed
from obstore.store import AzureStore
from scenes_on_disk import speckle, write_scene
from scripted_server import Answer, Asked, make_certificate, part_of, scripted_server
from stac_items import collection_of, make_item, write_catalog, write_json

CANARY = "canary-4711"
DAYS = ("20200106", "20200112", "20200118")


def write_scenes(folder: Path) -> np.ndarray:
    """Three scenes in a folder with a blank; the last by a codec that is left to GDAL. Their mean over time."""
    stack = np.stack([speckle((120, 90), seed) for seed, _ in enumerate(DAYS)])
    for day, pixels in zip(DAYS, stack, strict=True):
        write_scene(folder / f"a b/{day}.tif", pixels, **({"compress": "LZMA"} if day == DAYS[2] else {}))
    masked = np.where(stack == 0, np.nan, stack.astype(np.float64))
    return (np.nansum(masked, axis=0) / np.maximum((stack != 0).sum(axis=0), 1)).astype(np.float32)


def assert_mean(raster: Path, mean: np.ndarray) -> None:
    with rasterio.open(raster) as dataset:
        pixels = dataset.read(1)
    missing = np.isnan(pixels)
    assert np.array_equal(pixels[~missing], mean[~missing])
    assert (mean[missing] == 0).all()


def assert_unseen(tmp_path: Path, *texts: str, secret: str = CANARY) -> None:
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix not in (".csv", ".pem")]
    assert files
    assert not [path for path in files if secret.encode() in path.read_bytes()]
    assert not any(secret in text for text in texts)


def web_server(root: Path) -> Callable[[Asked], Answer]:
    """Files below `root`, those in a folder `signed` only by a signature."""

    def script(asked: Asked) -> Answer:
        path = root / asked.path.removeprefix("/signed").lstrip("/")
        if not path.is_file():
            return Answer(404, b"<html>not found</html>")
        if asked.path.startswith("/signed") and asked.query.get("sig") != CANARY:
            return Answer(403, b"no")
        content, etag = path.read_bytes(), {"ETag": f'"{path.stat().st_mtime_ns:x}"', "Accept-Ranges": "bytes"}
        return part_of(content, asked, **etag) if "range" in asked.headers else Answer(body=content, headers=etag)

    return script


def test_a_table_of_signed_web_addresses_is_read_and_no_signature_is_kept(cli: Cli, tmp_path: Path) -> None:
    mean = write_scenes(tmp_path / "web")
    certificate = make_certificate(tmp_path / "own.pem")
    environment = {name: text for name, text in os.environ.items() if name != "AWS_CA_BUNDLE"}
    environment["SSL_CERT_FILE"] = str(certificate)
    with scripted_server(web_server(tmp_path / "web"), certificate) as server:
        rows = [
            f"a%20b/{DAYS[0]}.tif,2020-01-06",
            f"{server.endpoint}/signed/a%20b/{DAYS[1]}.tif?sv=1&sig={CANARY},2020-01-12",
            f"/signed/a%20b/{DAYS[2]}.tif?sig={CANARY},2020-01-18",
        ]
        (tmp_path / "web/list.csv").write_text("\n".join(["href,datetime", *rows]))
        url = f"source.url={server.endpoint}/list.csv"
        done = cli("source=manifest", url, "output.dir=run", "hydra.verbose=true", env=environment)
        assert done.returncode == 0, done.stderr
    assert_mean(tmp_path / "run/temporal_mean.tif", mean)
    assert_unseen(tmp_path, done.stdout, done.stderr)
    hrefs = pq.read_table(tmp_path / "run/inputs.parquet")["href"].to_pylist()
    assert [href.endswith("?[signed]") for href in hrefs] == [False, True, True]


def stac_items(root: str, query: str = "") -> list[dict[str, object]]:
    """Items whose assets `red` are the scenes, and one without it."""
    items = [
        make_item(
            f"s{day}", f"{day[:4]}-{day[4:6]}-{day[6:]}T10:00:00Z", assets={"red": {"href": f"{root}/{day}.tif{query}"}}
        )
        for day in DAYS
    ]
    return [*items, make_item("other", assets={"blue": {"href": f"{root}/x.tif"}})]


@pytest.mark.slow
def test_a_stac_catalog_of_the_web_with_signed_assets_is_read(cli: Cli, tmp_path: Path) -> None:
    mean = write_scenes(tmp_path / "web")
    certificate = make_certificate(tmp_path / "own.pem")
    environment = {name: text for name, text in os.environ.items() if name != "AWS_CA_BUNDLE"}
    environment["SSL_CERT_FILE"] = str(certificate)
    write_catalog(tmp_path / "web/stac", stac_items("/signed/a%20b", f"?sig={CANARY}"))
    with scripted_server(web_server(tmp_path / "web"), certificate) as server:
        url = f"source.url={server.endpoint}/stac/catalog.json"
        done = cli("source=stac", url, "source.asset=red", "output.dir=run", env=environment)
        wrong = cli("source=stac", url, "source.asset=rad", "output.dir=wrong", env=environment)
    assert done.returncode == 0, done.stderr
    assert_mean(tmp_path / "run/temporal_mean.tif", mean)
    assert "1 of 4 STAC items are left out: its STAC item has no asset red: blue" in done.stderr
    table = pq.read_table(tmp_path / "run/spatial_mean.parquet").to_pydict()
    assert (table["scene"], table["eo_cloud_cover"]) == ([f"s{day}" for day in DAYS], ["12.5"] * 3)
    assert wrong.returncode == 1
    assert "none of 4 STAC items has such an asset; they have red, blue; did you mean 'red'" in wrong.stderr
    shutil.rmtree(tmp_path / "web/stac")
    assert_unseen(tmp_path, done.stdout, done.stderr, wrong.stderr)


@pytest.mark.slow
def test_a_run_of_signed_addresses_is_repeated_by_signatures_of_now(typed: Typed, tmp_path: Path) -> None:
    write_scenes(tmp_path / "web")
    with scripted_server(web_server(tmp_path / "web")) as server:

        def write_list(query: str) -> None:
            rows = [f"{server.endpoint}/signed/a%20b/{day}.tif{query},{day[:4]}-{day[4:6]}-{day[6:]}" for day in DAYS]
            (tmp_path / "list.csv").write_text("\n".join(["href,datetime", *rows]))

        write_list(f"?sig={CANARY}")
        assert typed("source=manifest", "source.url=list.csv", "output.dir=run").returncode == 0
        write_list(f"?expiry=later&sig={CANARY}")
        again, verified = typed("log", "rerun", "run"), typed("log", "verify", "run")
        write_list("")
        failed = typed("log", "rerun", "run")
    assert (again.returncode, verified.returncode, failed.returncode) == (0, 0, 1), again.stderr + verified.stdout
    assert f"a%20b/{DAYS[0]}.tif?[signed]: its address was signed, and signatures are not kept" in failed.stderr


# --- servers of others --------------------------------------------------------------------------------------------

WAYS = pytest.mark.parametrize("way", ["reader=auto", "reader=gdal", "engine=xarray"])


def assert_read(typed: Typed, tmp_path: Path, words: list[str], mean: np.ndarray, environment: dict[str, str]) -> None:
    done = typed("source=local", *words, "output.dir=run", env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    if "engine=xarray" in words:
        with rasterio.open(tmp_path / "run/temporal_mean.tif") as dataset:
            np.testing.assert_allclose(np.nan_to_num(dataset.read(1)), mean, rtol=1e-5)
    else:
        assert_mean(tmp_path / "run/temporal_mean.tif", mean)


@pytest.mark.slow
@WAYS
def test_google_cloud_storage_by_fake_gcs_server(typed: Typed, tmp_path: Path, way: str) -> None:
    mean = write_scenes(tmp_path / "root/bucket")
    with fake_gcs_server(tmp_path / "root") as endpoint:
        settings = [f"source.gcs.endpoint_url={endpoint}", "source.gcs.anonymous=true"]
        assert_read(typed, tmp_path, [*settings, "source.url=gs://bucket/**/*.tif", way], mean, {})


@contextmanager
def azure_container(folder: Path) -> Iterator[str]:
    with azurite() as endpoint:
        make_container(endpoint, "scenes")
        client = {"allow_http": True}
        store = AzureStore("scenes", account_name=AZURE_ACCOUNT, account_key=AZURE_KEY, endpoint=endpoint, client_options=client)  # type: ignore[call-overload]  # fmt: skip  # noqa: E501
        for path in folder.rglob("*.tif"):
            obstore.put(store, str(path.relative_to(folder)), path.read_bytes())
        yield endpoint


@pytest.mark.slow
@WAYS
def test_azure_by_azurite(typed: Typed, tmp_path: Path, way: str) -> None:
    mean = write_scenes(tmp_path / "data")
    with azure_container(tmp_path / "data") as endpoint:
        settings = [f"source.azure.endpoint_url={endpoint}", f"source.azure.account={AZURE_ACCOUNT}"]
        words = [*settings, "source.url=az://scenes/**/*.tif"]
        denied = typed("source=local", *words, "source.azure.anonymous=true", "output.dir=denied")
        assert_read(typed, tmp_path, [*words, way], mean, {"AZURE_STORAGE_ACCESS_KEY": AZURE_KEY})
    assert "az://scenes: access denied; for a public container set source.azure.anonymous=true" in denied.stderr
    assert_unseen(tmp_path, denied.stderr, secret=AZURE_KEY)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["", "/collections/c", "/collections/c/items"])
def test_a_stac_api_by_rustac(typed: Typed, tmp_path: Path, path: str) -> None:
    mean = write_scenes(tmp_path / "data")
    others = [make_item(f"x{number}", collection="d") for number in range(600)]
    with scripted_server(web_server(tmp_path / "data")) as server:
        items = [*stac_items(f"{server.endpoint}/a%20b"), *others]
        with rustac(write_json(tmp_path / "items.json", collection_of(items))) as endpoint:
            words = ["source=stac", "source.asset=red", f"source.url={endpoint}{path}", "source.stac.collections=[c]"]
            done = typed(*words, "output.dir=run")
            period = [] if path else ["source.stac.datetime=2020-01-06/2020-01-12"]
            chosen = typed(*words, *period, "output.dir=chosen")
    assert done.returncode == chosen.returncode == 0, done.stderr
    assert_mean(tmp_path / "run/temporal_mean.tif", mean)
    assert "1 of 4 STAC items are left out" in done.stderr
    scenes = pq.read_table(tmp_path / "chosen/spatial_mean.parquet")["scene"].to_pylist()
    assert scenes == [f"s{day}" for day in DAYS[: 3 if path else 2]]
