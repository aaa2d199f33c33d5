"""GDAL options are checked by name, set for a while, and read back from GDAL itself."""

import os
from pathlib import Path

import pytest
import rasterio

from runner.errors import ConfigError
from runner.read.gdal_environment import (
    check_option_names,
    gdal_environment,
    gdal_options_set,
    known_options,
    options_in_force,
)


def test_options_are_in_force_inside_and_gone_after() -> None:
    before = dict(os.environ)
    with gdal_environment({"GDAL_HTTP_MAX_RETRY": "7", "CPL_VSIL_CURL_NON_CACHED": "/vsis3/"}):
        seen = options_in_force(["GDAL_HTTP_MAX_RETRY", "CPL_VSIL_CURL_NON_CACHED"])
    assert seen == {"GDAL_HTTP_MAX_RETRY": "7", "CPL_VSIL_CURL_NON_CACHED": "/vsis3/"}
    assert dict(os.environ) == before
    assert options_in_force(["GDAL_HTTP_MAX_RETRY"]) == {"GDAL_HTTP_MAX_RETRY": None}


def test_an_option_is_put_back_even_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_CACHEMAX", "64")
    with pytest.raises(RuntimeError), gdal_environment({"GDAL_CACHEMAX": "128"}):
        raise RuntimeError
    assert os.environ["GDAL_CACHEMAX"] == "64"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("VSI_CURL_CACHE_SIZE", "1", "did you mean 'CPL_VSIL_CURL_CACHE_SIZE'"),
        ("gdal_cachemax", "1", "GDAL 3.10 knows no such option"),
        ("AWS_REGION", "x", "set source.s3.region instead"),
        (
            "CPL_CURL_VERBOSE",
            "YES",
            "that can print keys and signatures, or write a file; if you mean it, set it in the shell",
        ),
        ("CPL_DEBUG", "ON", "that can print keys"),
        ("CPL_LOG", "/tmp/x", "that can print keys and signatures, or write a file"),
        ("GDAL_HTTP_HEADER_FILE", "/etc/hostname", "that can send a file or a key of this machine to a server"),
        ("GDAL_HTTP_NETRC_FILE", "/etc/hostname", "that can send a file"),
        ("GDAL_HTTP_COOKIEFILE", "/etc/hostname", "that can send a file"),
        ("GDAL_HTTP_SSLCERT", "/etc/hostname", "that can send a file"),
        ("CPL_AWS_STS_ROOT_URL", "http://x", "that can send a file or a key"),
    ],
)
def test_an_option_that_must_not_be_set_is_refused(name: str, value: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        check_option_names({name: value})


@pytest.mark.parametrize("version", ["3.10.3", "3.12.2"])
@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONPATH", "PYTHONSO", "GDAL_OPTION_OF_THE_FUTURE"])
def test_a_name_that_is_not_listed_is_refused_whatever_gdal_runs(
    monkeypatch: pytest.MonkeyPatch, name: str, version: str
) -> None:
    monkeypatch.setattr(rasterio, "__gdal_version__", version)
    with pytest.raises(ConfigError, match=f"{name}: GDAL 3.10 knows no such option, and .* in the shell"):
        check_option_names({name: "x"})


def test_the_known_names_are_literals_of_the_library_in_use() -> None:
    libraries = [*Path(rasterio.__file__).parent.parent.glob("rasterio.libs/libgdal*")]
    if not libraries:
        pytest.skip("rasterio does not carry its own GDAL here")
    library = libraries[0].read_bytes()
    missing = [name for name in known_options() if b"\0" + name.encode() + b"\0" not in library]
    assert len(missing) < 0.1 * len(known_options()), missing  # a newer GDAL may drop a few


def test_options_set_for_a_while_leave_the_environment_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "7")
    with gdal_options_set(GDAL_HTTP_TIMEOUT="9"):
        assert options_in_force(["GDAL_HTTP_TIMEOUT"]) == {"GDAL_HTTP_TIMEOUT": "9"}
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "8")
    assert options_in_force(["GDAL_HTTP_TIMEOUT"]) == {"GDAL_HTTP_TIMEOUT": "8"}
