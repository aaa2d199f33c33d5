"""A wrong setting is one clear line, whatever is wrong with it."""

import math
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.types import RunMode
from jobs import ROOT, compose
from omegaconf import OmegaConf

from runner.base.redact import redact
from runner.config import job_config
from runner.config.vocabulary import config_dir
from runner.errors import ConfigError
from runner.settings import ClusterKind, GdalSettings, JobSettings, SourceKind

again = partial(pytest.param, marks=pytest.mark.slow)  # a check of another case, by another key


def test_a_folder_whose_name_is_not_utf8_is_refused_before_anything_is_written() -> None:
    job = compose()
    job.output.dir = "outputs/M\udcfcller"
    with pytest.raises(ConfigError, match=r"outputs/M\\xfcller: wanted a folder whose path is UTF-8"):
        job_config.check_job(job)


def test_the_default_job_reads_the_demo_in_two_stages() -> None:
    job = compose()
    assert job.source.name == "demo"
    assert list(job.stages) == ["spatial_mean", "temporal_mean"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("source.limt=3", "source.limt: there is no such setting; did you mean 'source.limit=3'"),
        (
            "source.stack_by=month",
            "source.stack_by=['month']: wanted named groups such as tile or band, not those of ",
        ),
        ("source.stack_by=[tile,tile]", "source.stack_by=['tile', 'tile']: wanted each group once"),
        again("source.where.date=20200106", "source.where.date=20200106: wanted named groups such as tile or band"),
        ("source.where.tile=[]", "source.where.tile=[]: wanted a value, a pattern, or a list of them"),
        again("archive.on_error=skip", "archive.on_error=skip: wanted stop or continue"),
        ("source.polygon=[0,0,1,1]", "source.polygon: there is no such setting; source has area, "),
        again(
            "stages.temporal_mean.made_by=month", "there is no such setting; stages.temporal_mean has chunks, cluster, "
        ),
        again(
            "stages.zonal=x",
            "stages.zonal: there is no stage zonal; there are spatial_mean, temporal_mean, and "
            "+stage@stages.zonal=OPTION adds it",
        ),
        ("stages.zones.statistics=[std]", "there is no stage zones; there are spatial_mean, temporal_mean, and stage@"),
        ("stages.spatial.weights=none", "there is no stage spatial; did you mean 'stages.spatial_mean.weights=none'"),
        (
            "stages.spatial_mean.statistics=[q101]",
            "there is no statistic 'q101'; did you mean 'q99'? Over space "
            "there are count, valid_fraction, sum, mean, min, max, range, var, std, cv, median, quantiles by ",
        ),
        ("source.area=[a.json,b.json]", "source.area=['a.json', 'b.json']: wanted one value, and got a list; join"),
        ("chunks.nodata=0", "chunks.nodata: there is no such setting; did you mean 'source.nodata=0'"),
        again("source.asset=red", "source.asset=red: wanted nothing, unless source=stac"),
        again("source.stac.ids=[a]", "source.stac.ids=['a']: wanted nothing, unless source=stac"),
        ("sorce.limit=3", "sorce.limit: there is no such setting; did you mean 'source.limit=3'"),
        again("+typo=1", "typo: there is no such setting"),
        again("++source.typo=1", "source.typo: there is no such setting"),
        ("sourc=demo", "sourc: there is no such setting; did you mean 'source=demo'"),
        again("source.limit=x", "source.limit=x: wanted a whole number"),
        (
            "max_skipped=3",
            "max_skipped=3: wanted on_error=skip with it, or no value, since on_error=stop skips nothing",
        ),
        again("source=manifest", "source.url has no value: give it one, such as source.url=scenes.csv"),
        ("source=local", "source.url has no value: give it one, such as source.url='/data/**/*.tif'"),
        (
            "+cluster@stages.spatial_maen.cluster=processes",
            "stages.spatial_maen.over has no value: give it one, such as stages.spatial_maen.over=space; did you mean "
            "'stages.spatial_mean'",
        ),
        (
            "stages.spatial_maen.cluster=processes",
            "stages.spatial_maen.cluster: there is no such choice; did you mean "
            "'stages.spatial_mean.cluster=processes'",
        ),
        (
            "stage@stages.rising=trend",
            "stage@stages.rising: the defaults have no stage of that name; write +stage@stages.rising=trend to add it",
        ),
        (
            "cluster@stages.spatial_mean.clutser=processes",
            "there is no such choice; did you mean 'stages.spatial_mean.cluster=processes'",
        ),
        (
            "~stage@stages.temporal",
            "~stage@stages.temporal: there is nothing of that name to leave out; did you mean "
            "'~stage@stages.temporal_mean'",
        ),
        again("+chunks=row", "+chunks=row: chunks is chosen already; write chunks=row"),
        (
            "chunks=block,row",
            "chunks=block,row: several values are a sweep, one job for each; write -m chunks=block,row",
        ),
        again("source.nodata=water", "source.nodata=water: wanted a number"),
        again("source.nodata=true", "source.nodata=True: wanted a number"),
        ("source.nodata=1" + 400 * "0", "wanted a number that float64 or a 64-bit integer holds"),
        again("source.band=0", "source.band=0: wanted a whole number from 1 on, or the description of a band"),
        again("source.band=1.5", "source.band=1.5: wanted a whole number or a text"),
        again("source.band=''", "source.band=: wanted a whole number from 1 on, or the description of a band"),
        ("source.scale=0", "source.scale=0.0: wanted a number other than 0"),
        again("source.offset=nan", "source.offset=nan: wanted a finite number"),
        ("source.bands=[red,red]", "source.bands=['red', 'red']: wanted each band once"),
        again("source.bands=[all,red]", "source.bands=['all', 'red']: wanted all, or a list of bands"),
        ("source.bands=[0]", "source.bands=[0]: wanted all, or a list of numbers and descriptions of bands"),
        again("source.bands=[]", "source.bands=[]: wanted all, or a list of numbers and descriptions of bands"),
        again("source.area_layer=fields", "source.area_layer=fields: wanted null, or source.area with it"),
        again("source.band=-1", "source.band=-1: wanted a whole number from 1 on"),
        again("source.limit=0", "source.limit=0: wanted a whole number from 1 on"),
        again("debug.traceback=${source.name}", "debug.traceback=demo: wanted true or false"),
        ("source.limit=${source.name}", "source.limit=demo: wanted a whole number"),
        again("mask=nodat", "mask=nodat: no such option; did you mean 'nodata'; there are both, hls_fmask"),
        ("mask.own=nodat", "expected one of [nodata, both, none]; did you mean 'nodata'"),
        again("mask.bits=[3]", "mask.bits=[3]: wanted a mask, as by mask.href.replace=[SR_B4,QA_PIXEL]"),
        again("mask.on_missing=skip", "mask.on_missing=skip: wanted a mask, as by mask.href.replace"),
        (
            "source.where=VV",
            "source.where: it holds named values; set one as KEY.NAME=VALUE, or in a file as NAME: VALUE below it",
        ),
        again(
            "mask.href=QA",
            "mask.href: it holds named values; set one as KEY.NAME=VALUE, or in a file as NAME: VALUE below it",
        ),
        again("mask.asset=qa", "mask.asset=qa: wanted one of mask.bits, mask.values and mask.keep with it, which"),
        again("mask.href.replace=[B4,QA]", "mask.href.replace=['B4', 'QA']: wanted one of mask.bits, mask.values and"),
        (
            "mask={asset: qa, bits: [1], values: [2]}",
            "mask.bits=[1] and mask.values=[2]: wanted one of mask.bits, mask.values and mask.keep; leave out the "
            "others, such as mask.bits=null",
        ),
        again("mask.href.replace=[SR_B4]", "mask.href.replace=['SR_B4']: wanted a regular expression and the text"),
        ("mask.href.replace=['(B4','QA']", "mask.href.replace: '(B4' and 'QA': missing ), unterminated subpattern"),
        again("mask.href.replace=['B4','\\1']", "mask.href.replace: 'B4' and '\\1': invalid group reference 1"),
        again("engine=xary", "did you mean 'xarray'"),
        again("output.compression=zip", "output.compression=zip: wanted deflate or zstd or lzw or none"),
        ("output.level=10", "output.level=10: wanted a whole number from 1 to 9"),
        ("fuse=maybe", "fuse=maybe: wanted auto, true or false"),
        again("fetch.ahead=lots", "fetch.ahead=lots: wanted a size such as 64MiB"),
        again("fetch.in_flight=0", "fetch.in_flight=0: wanted a whole number from 1 on"),
        ("source.valid_range=[2,1]", "source.valid_range=[2.0, 1.0]: wanted [lowest, highest]"),
        again(
            "source.valid_range=[p2,p98]", "source.valid_range: wanted [lowest, highest] as numbers. A percentile of a"
        ),
        again("source.valid_range=[2%,98%]", "as numbers. A percentile of a scene is known only once all"),
        ("source.max_cloud=101", "source.max_cloud=101.0: wanted percent, from 0 to 100"),
        again("source.min_valid_fraction=60", "source.min_valid_fraction=60.0: wanted a share from 0 to 1"),
        again("chunks=blck", "chunks=blck: no such option; did you mean 'block'; there are auto, block"),
        again("experiment=nope", "experiment=nope: no such option; there are"),
        ("chunks.y=0", "chunks.y=0: wanted a whole number from 1 on, or one of auto, block, all"),
        again("chunks.y=abc", "chunks.y=abc: wanted a whole number"),
        again("chunks.y=1.5", "chunks.y=1.5: wanted a whole number"),
        again("chunks.time=block", "chunks.time=block: wanted a whole number from 1 on, or one of auto, all"),
        ("chunks.y=[", "chunks.y=[: cannot be read as KEY=VALUE"),
        again("stages.spatial_mean.statistics=[men]", "did you mean 'mean'"),
        ("stages.spatial_mean.statistics=[]", "wanted at least one statistic"),
        again("stages.spatial_mean.statistics=[mean,mean]", "wanted each statistic once"),
        ("stages.spatial_mean.min_count=-1", "stages.spatial_mean.min_count=-1: wanted a whole number from 0 on"),
        again("stages.spatial_mean.min_count=1.5", "stages.spatial_mean.min_count=1.5: wanted a whole number"),
        again("gdal.options.VSI_CURL_CACHE_SIZE=1", "did you mean 'CPL_VSIL_CURL_CACHE_SIZE'"),
        ("gdal.options.GDAL_DRIVER_PATH=/theirs", "that can name code to run"),
        again("gdal.options.GDAL_VRT_ENABLE_PYTHON=YES", "that can name code to run"),
        again("gdal.options.AWS_CONFIG_FILE=/theirs", "that can name code to run"),
        again("gdal.options.AWS_S3_ENDPOINT=x", "set source.s3.endpoint_url instead"),
        ("source.datetime_regex=abc", "wanted a named group datetime or date"),
        again("source.datetime_regex='(?P<date>'", "not a regular expression"),
        ("source.start=janary", "source.start=janary: wanted a date such as 2020-01-06"),
        again('source.url="/data/M\udcfcller/*.tif"', r"source.url=/data/M\xfcller/*.tif: wanted UTF-8"),
        ("source.url=ftp://x/y.tif", "source.url=ftp://x/y.tif: wanted s3://..., gs://..., az://..., https://..., "),
        again("source.url=abfs://c/*.tif", "or a path; Azure's abfs:// is az:// here"),
        again(r"source.url=C:\data\*.tif", r"or a path, as this machine has them"),
        again(r"source.url=\\server\data\*.tif", "WSL finds C:"),
        ("source.s3.endpoint_url=localhost:9000", "wanted http://... or https://..."),
        again("source.s3.profile=me", "wanted one of anonymous=true and profile, not both"),
        again("cluster@stages.spatial_mean.cluster=thread", "did you mean 'threads'"),
        (
            "cluster@stages.spatial_mean.cluster=address",
            "address=null: wanted a scheduler's address, as tcp://host:8786",
        ),
        again("stages.spatial_mean.cluster.address=tcp://h:1", "wanted nothing, unless the cluster is 'address'"),
        ("stages.spatial_mean.cluster.n_workers=2", "processes has n_workers"),
        again("stages.spatial_mean.cluster.memory_limit=lots", "wanted auto or a size such as 2GiB"),
        (
            "stages.spatial_mean.cluster.queue=long",
            "a cluster of kind 'threads' has no such key; slurm, pbs, sge, lsf, ",
        ),
        ("cluster@stages.spatial_mean.cluster=ssh", "stages.spatial_mean.cluster.hosts=[]: wanted at least one host"),
        again(
            "source.name=${oc.env:NOT_SET}", "source.name: the environment has no variable NOT_SET; set it, or write"
        ),
        ("source.exclude=[[a]]", "source.exclude=[['a']]: wanted a list of plain values, such as [a, b]"),
        again("source.exclude=[null]", "source.exclude[0]=null: wanted a value"),
        again("source.exclude=", "source.exclude: wanted a list, such as [a, b]"),
        ("fetch=null", "fetch=null: wanted a value"),
        again("gdal=null", "gdal=null: wanted an option of this group"),
        again(
            "stages.spatial_mean.cluster=4", "stages.spatial_mean.cluster=4: got a number, wanted the name of an option"
        ),
        again(
            "stages.spatial_mean.cluster=4",
            "; for 4 workers: stages.spatial_mean.cluster=processes stages.spatial_mean.cluster.n_workers=4",
        ),
        again("cluster=4", "cluster=4: got a number, wanted the name of an option; there are address, gateway, "),
        again("cluster=threads,2", "; for 2 workers: cluster=processes cluster.n_workers=2"),
        again("cluster@stages.spatial_mean.cluster=4", "; for 4 workers: stages.spatial_mean.cluster=processes "),
        again("archive.cluster=4", "archive.cluster=4: got a number, wanted the name of an option; there are "),
        again("source=true", "source=true: got true or false, wanted the name of an option; there are "),
        again("stages.temporal_mean.chunks=512", "chunks=512: got a number, wanted the name of an option; there are "),
        again("fetch.ahead=1e400MB", "fetch.ahead=1e400MB: wanted a size such as 64MiB"),
        again("fetch.timeout=1e308", "fetch.timeout=1e+308: wanted seconds above 0, at most 10000000"),
        again("stages.spatial_mean.cluster.silent_timeout=inf", "silent_timeout=inf: wanted seconds above 0, at most"),
        ("source.url=s3://", "source.url=s3://: wanted a place after ://, as in s3://bucket/*"),
        again("source.url=s3:///k.tif", "source.url=s3:///k.tif: wanted a place after ://"),
        again("source.s3.endpoint_url=http://", "wanted a place after ://, as in http://host:9000"),
        again("source.s3.endpoint_url=http://h:99999", "wanted a place after ://, as in http://host:9000"),
        again("source.s3.endpoint_url=http://h:x", "wanted a place after ://"),
    ],
)
def test_a_wrong_word_gets_one_line_that_names_it(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(override)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("source.scale=2", "source.mask_and_scale=false", "source.scale=2.0: wanted null, since source.mask_and_scale"),
        ("source.offset=0", "source.mask_and_scale=false", "source.offset=0.0: wanted null, since source.mask_and"),
        ("source.bands=all", "source.stack_by=[band]", "source.stack_by=['band']: wanted no group 'band', since"),
        (
            "source.bands=all",
            "source.band=2",
            "source.band=2: wanted no value, since source.bands=all says which",
        ),
        (
            "source.bands=[1,red]",
            "source.band=1",
            "since source.bands=[1,red] says which bands are read; leave",
        ),
        ("source.area=a.json", "source.georeference=none", "source.area=a.json: wanted null, since source.georefer"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(first: str, second: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        compose(first, second)


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("", "output.dir=: wanted a folder; '.' is the current one"),
        ("s3://bucket/means", "wanted a folder of this machine; output.upload takes the address of a bucket"),
        ("/data/s3:/bucket/means", "wanted a folder of this machine"),  # as Hydra makes hydra.run.dir absolute
        ("~no_such_user/x", "~no_such_user/x: the home folder it begins with is not known; write it out"),
    ],
)
def test_an_output_folder_is_a_path_that_there_can_be(folder: str, message: str) -> None:
    job = compose()
    job.output.dir = folder
    with pytest.raises(ConfigError, match=re.escape(message)):
        job_config.check_job(job)


@pytest.mark.parametrize("overrides", [("source.start=2020-02-01", "source.end=2020-01-01")])
def test_an_end_before_the_start_is_refused(overrides: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="lies before"):
        compose(*overrides)


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("null", None),
        ("-9999", -9999),
        ("0.1", 0.1),
        ("-3.4028234663852886e38", -3.4028234663852886e38),
        ("nan", math.nan),
        ("'nan'", math.nan),  # as a run's record holds it
        ("9223372036854775807", 2**63 - 1),
        ("18446744073709551615", 2**64 - 1),
    ],
)
def test_nodata_is_the_very_number(word: str, number: float | None) -> None:
    assert repr(compose(f"source.nodata={word}").source.nodata) == repr(number)


def test_both_stages_dropped_is_refused() -> None:
    with pytest.raises(ConfigError, match="stages is empty"):
        compose("~stage@stages.spatial_mean", "~stage@stages.temporal_mean")


@pytest.mark.parametrize(
    "override",
    [
        "gdal.options.AWS_SECRET_ACCESS_KEY=abc",
        "source.s3.endpoint_url=http://me:pass@host",
        "+source.s3.secret=abc",
        "gdal.options.GDAL_HTTP_USERPWD=me:pass",
        "gdal.options.GDAL_HTTP_BEARER=abc",
        "gdal.options.GDAL_HTTP_COOKIE=abc",
        "gdal.options.GDAL_HTTP_PROXY=me:abc@proxy",
        "gdal.options.SWIFT_KEY=abc",
        "gdal.options.AZURE_SAS=abc",
        "gdal.options.AZURE_STORAGE_CONNECTION_STRING='AccountKey=abc;AccountName=me'",
        "gdal.options.GDAL_HTTP_HEADERS=X-Api-Key: abc",
        "gdal.options={GDAL_HTTP_HEADERS: 'X-Key: abc'}",
        "gdal.options={GDAL_HTTP_HEADERS: 'X-Key: abc",
        "source.url=https://host/key?X-Amz-Signature=abc",
        "source.name=${oc.env:AWS_SECRET_ACCESS_KEY}",
        "hydra.run.dir=outputs/${oc.env:AWS_SESSION_TOKEN,abc}",
    ],
)
def test_a_secret_on_the_command_line_is_refused_without_repeating_it(override: str) -> None:
    with pytest.raises(ConfigError, match="secret") as caught:
        compose(override)
    assert redact(str(caught.value)) == str(caught.value)  # as it is shown, with its reason and remedy
    assert "abc" not in str(caught.value)
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AZURE_SAS", "abc"),
        ("AZURE_STORAGE_ACCESS_KEY", "abc"),
        ("AZURE_STORAGE_CONNECTION_STRING", "AccountKey=abc;AccountName=me"),
        ("GDAL_DAAS_API_KEY", "abc"),
        ("GDAL_HTTP_KEYPASSWD", "abc"),
        ("GDAL_HTTP_PROXY", "me:abc@proxy:3128"),
        ("GDAL_HTTP_PROXYUSERPWD", "me:abc"),
        ("GS_OAUTH2_PRIVATE_KEY", "abc"),
        ("OSS_SECRET_ACCESS_KEY", "abc"),
        ("SWIFT_KEY", "abc"),
    ],
)
def test_a_credential_among_the_options_of_gdal_is_refused_wherever_it_was_set(name: str, value: str) -> None:
    job = compose()
    with pytest.raises(ConfigError, match=rf"gdal.options.{name}=\[redacted\]: a secret has no place"):
        job_config.check_job(replace(job, gdal=GdalSettings(options={name: value})))


@pytest.mark.parametrize("key", ["output.dir", "source.name", "source.units"])
def test_what_results_carry_holds_no_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    group, _, name = key.partition(".")
    job = compose()
    holding = replace(job, **{group: replace(getattr(job, group), **{name: "a-canary-4711"})})
    job_config.check_job(holding)
    monkeypatch.setenv("MY_TOKEN", "canary-4711")
    with pytest.raises(ConfigError, match=rf"{key}=\[redacted\]: wanted a text without a secret"):
        job_config.check_job(holding)


@pytest.mark.parametrize(
    "override",
    ["+source._target_=os.system", "+stages.spatial_mean._partial_=true", "+hydra.callbacks.x._target_=os.makedirs"],
)
def test_a_config_names_no_python(override: str) -> None:
    with pytest.raises(ConfigError, match="a config holds values only"):
        compose(override)


def test_two_stages_cannot_write_one_file() -> None:
    with pytest.raises(
        ConfigError, match="stages.temporal and stages.temporal_mean would both write temporal_mean.tif"
    ):
        compose("+stage@stages.temporal=temporal_mean")


@pytest.mark.parametrize(
    "value",
    [
        "s3://b/${oc.env:MINE}/*.tif",
        "s3://b/${oc.decode:'${oc.env:MINE}'}/*.tif",
        "${oc.select:source.name}",
        "${source.s3.region}",
    ],
)
def test_a_secret_of_the_environment_reaches_no_value_however_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("SOME_SECRET", "abcdefghijk")
    monkeypatch.setenv("MINE", "abcdefghijk")  # the same value under a name that tells nothing
    file = tmp_path / "experiment/mine.yaml"
    file.parent.mkdir()
    file.write_text(
        f"# @package _global_\nsource:\n  url: \"{value}\"\n  name: '${{oc.env:MINE}}'\n"
        "  s3: {region: '${oc.env:MINE}'}\n"
    )
    with pytest.raises(ConfigError, match=r"source\.\S+=\[redacted\]: a secret has no place in a setting"):
        compose(f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine")


def test_a_variable_that_is_not_secret_may_be_in_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUCKET", "scenes")
    assert compose("source.url=s3://${oc.env:BUCKET}/*.tif").source.url == "s3://scenes/*.tif"


def test_a_source_without_a_pattern_for_dates_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/mine.yaml").write_text("url: /x/*.tif\nkind: glob\n")
    job_config.register_settings()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        tree = hydra_compose("config", [f"hydra.searchpath=[file://{tmp_path}]", "source=mine", "output.dir=x"])
    with pytest.raises(
        ConfigError, match=r"source/mine\.yaml:1: source\.datetime_regex has no value; let the file begin"
    ):
        job_config.read_job(tree, {"source": "mine"})


def test_a_tab_in_a_file_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/mine.yaml").write_text("defaults: [local]\ns3:\n\tregion: x\n")
    with pytest.raises(ConfigError) as caught:
        compose(f"hydra.searchpath=[file://{tmp_path}]", "source=mine")
    assert str(caught.value) == f"{tmp_path}/source/mine.yaml:3: a tab; YAML is indented by spaces"


def test_an_option_cannot_lie_outside_of_the_config_folders() -> None:
    with pytest.raises(ConfigError, match="cannot lie outside"):
        job_config.read_job(job_config.OmegaConf.structured(JobSettings), {"cluster": "../../etc/x"})


@pytest.mark.parametrize("kind", ["sync", "threads", "processes"])
def test_each_stage_chooses_its_own_cluster_and_leaves_no_stale_keys(kind: str) -> None:
    job = compose(f"cluster@stages.temporal_mean.cluster={kind}")
    assert job.stages["temporal_mean"].cluster.kind is ClusterKind[kind]
    assert job.stages["spatial_mean"].cluster.kind is ClusterKind.threads


def test_each_stage_may_have_its_own_chunks() -> None:
    job = compose("chunks=block", "chunks@stages.temporal_mean.chunks=row")
    assert job.stages["spatial_mean"].chunks is None
    assert job.stages["temporal_mean"].chunks is not None
    assert job.stages["temporal_mean"].chunks.x == "all"


def test_a_stage_can_be_dropped() -> None:
    assert list(compose("~stage@stages.temporal_mean").stages) == ["spatial_mean"]


def test_a_known_gdal_option_needs_no_plus() -> None:
    assert compose("gdal.options.GDAL_CACHEMAX=512").gdal.options["GDAL_CACHEMAX"] == "512"


OPTIONS = sorted(
    (path.parent.name, path.stem)
    for path in (ROOT / "conf").glob("*/*.yaml")
    if path.parent.name in ("source", "gdal", "chunks", "output", "debug", "experiment")
)


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_shipped_option_makes_a_job(group: str, option: str) -> None:
    url = ["source.url=s3://bucket/*.tif"] if option in ("local", "manifest", "stac") else []
    url += ["source.asset=red"] if option == "stac" else []
    assert compose(f"{group}={option}", *url).stages


def test_every_config_file_begins_with_what_it_is_for() -> None:
    for path in (ROOT / "conf").rglob("*.yaml"):
        first = path.read_text().splitlines()[0]
        assert first.startswith("#") or path.parent.parent.name == "hydra", path


@pytest.mark.parametrize(
    ("file", "text", "override", "message"),
    [
        (
            "cluster/mine",
            "n_worker: 2",
            "cluster@stages.spatial_mean.cluster=mine",
            "{folder}/cluster/mine.yaml:1: stages.spatial_mean.cluster.n_worker: there is no such setting; did you "
            "mean 'stages.spatial_mean.cluster.n_workers'",
        ),
        (
            "source/mine",
            "limit: many",
            "source=mine",
            "{folder}/source/mine.yaml:1: source.limit=many: wanted a whole number",
        ),
        (
            "source/mine",
            "defaults: [locl]",
            "source=mine",
            "{folder}/source/mine.yaml:1: its defaults name 'locl', which is not a file of source/; did you mean "
            "'local'",
        ),
    ],
)
def test_a_wrong_word_in_a_file_of_ones_own_is_told_as_on_the_command_line(
    tmp_path: Path, file: str, text: str, override: str, message: str
) -> None:
    path = tmp_path / f"{file}.yaml"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        compose(f"hydra.searchpath=[file://{tmp_path}]", override)
    assert str(caught.value) == message.replace("{folder}", str(tmp_path))


@pytest.mark.parametrize(("folder", "remedy"), [("conf", "move it into {}/source; "), ("source", "--config-dir {}; ")])
def test_an_option_that_lies_in_no_folder_of_its_group_is_found_there(tmp_path: Path, folder: str, remedy: str) -> None:
    named = tmp_path / folder
    named.mkdir()
    (named / "puddle.yaml").write_text("name: puddle")
    with pytest.raises(ConfigError, match="source=puddle: no such option; there is a ") as caught:
        compose(f"hydra.searchpath=[file://{named}]", "source=puddle")
    assert remedy.format(named if folder == "conf" else tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (RunMode.RUN, ["cluster=sync", "statistics=median,mean", "~stage@stages.x"]),
        (RunMode.MULTIRUN, ["chunks=row"]),
    ],
)
def test_a_job_has_the_words_that_were_typed_unless_others_share_its_command_line(
    mode: RunMode, words: list[str]
) -> None:
    hydra = OmegaConf.create({"mode": mode, "overrides": {"task": ["chunks=row"], "hydra": []}})
    typed = ["cluster=sync", "hydra.run.dir=x", "statistics=median,mean", "+hydra/launcher=y", "~stage@stages.x"]
    assert job_config.overrides_of_job(hydra, typed) == words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mask=landsat_qa_pixel", "mask.values=[3]"], "mask.bits=[0, 1, 2, 3, 4] and mask.values=[3]: wanted one of"),
        (["mask=landsat_qa_pixel", "mask.bits=[]"], "mask.bits=[]: wanted at least one number, or null"),
        (["mask=landsat_qa_pixel", "mask.bits=[-1]"], "mask.bits=[-1]: wanted bits from 0 on"),
        (["mask=landsat_qa_pixel", "mask.band=0"], "mask.band=0: wanted a whole number from 1 on"),
    ],
)
def test_a_mask_has_one_test_that_can_be(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(*words)
    assert message in str(caught.value)


def test_scenes_without_masks_may_be_limited_as_others_that_are_skipped() -> None:
    assert compose("mask=landsat_qa_pixel", "mask.on_missing=skip", "max_skipped=3").max_skipped == 3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "source.asset has no value: give it the key of a STAC asset, such as source.asset=red"),
        (("source.asset=red", "source.stac.bbox=[1,2,3]"), "wanted [west, south, east, north] in degrees"),
        (("source.asset=red", "source.stac.login_from=eyJhbGciOi"), "wanted the name of an environment variable"),
        (("source.asset=red", "source.stac.login_from=STAC_NAME"), "with TOKEN or SECRET in it"),
        (("source.asset=red", "source.stac.bbox=[1,5,3,4]"), "south below north"),
        (("source.asset=red", "source.stac.sign=always"), "source.stac.sign: Invalid value 'always', expected one of"),
    ],
)
def test_a_source_of_stac_items_is_checked(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose("source=stac", "source.url=items.json", *overrides)
    assert message in str(caught.value)


def test_a_source_of_stac_items_needs_no_pattern_of_dates() -> None:
    job = compose("source=stac", "source.url=https://host/v1", "source.asset=red", "source.stac.query=['a<2']")
    assert (job.source.kind, job.source.datetime_regex, job.source.stac.query) == (SourceKind.stac, None, ["a<2"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["slurm", "jobs=2", "n_workers=2"], "jobs=2: wanted jobs or n_workers, not both"),
        (["slurm", "walltime=soon"], "walltime=soon: wanted a time as slurm reads it: MM, MM:SS, HH:MM:SS or D-"),
        (
            ["pbs", "walltime=00:05"],
            "walltime=00:05: wanted a minute or more, or workers cannot do anything; pbs",
        ),
        (["pbs", "walltime=0"], "walltime=0: wanted a minute or more, or workers cannot do anything; pbs"),
        (["slurm", "cores=2", "processes=4"], "processes=4: wanted at most 2, the cores of a job"),
        (["lsf", "walltime=02:00:00"], "walltime=02:00:00: wanted a time as lsf reads it: MM or HH:MM"),
        (
            ["htcondor", "walltime=02:00:00"],
            "walltime: a cluster of kind 'htcondor' has no such key; slurm, pbs, sge, ",
        ),
        (["htcondor", "queue=long"], "queue: a cluster of kind 'htcondor' has no such key; slurm, pbs, sge, lsf, oar"),
        (
            ["htcondor", "account=me"],
            "account: a cluster of kind 'htcondor' has no such key; slurm, pbs, sge, lsf, ",
        ),
        (["htcondor", "job_extra_directives=[x]"], "job_extra_directives=x: wanted NAME=VALUE"),
        (["slurm", "memory=much"], "memory=much: wanted auto or a size such as 2GiB"),
        (["slurm", "memory_limit=1GiB"], "memory_limit: a cluster of kind 'slurm' has no such key; sync, threads, "),
        (["slurm", "adapt.minimum=3", "adapt.maximum=2"], "adapt.maximum=2: wanted 3 or more, which is the minimum"),
        (["processes", "adapt.maximum=2"], "adapt: a cluster of kind 'processes' has no such key; slurm, pbs, "),
        (["threads", "tls.ca_file=ca.pem"], "tls: a cluster of kind 'threads' has no such key; address, slurm, "),
        (["gateway", "options=[cores]"], "options=cores: wanted NAME=VALUE"),
    ],
)
def test_a_key_that_a_cluster_does_not_have_is_refused(overrides: list[str], message: str) -> None:
    option, *keys = overrides
    words = [f"cluster@stages.{name}.cluster={option}" for name in ("spatial_mean",)]
    with pytest.raises(ConfigError, match=re.escape(f"stages.spatial_mean.cluster.{message}")):
        compose(*words, *(f"stages.spatial_mean.cluster.{key}" for key in keys))


@pytest.mark.parametrize(
    ("typed", "bands"), [("red,nir", ["red", "nir"]), ("1,4", [1, 4]), ("all", ["all"]), ("[1]", [1])]
)
def test_bands_are_a_list_with_or_without_brackets(typed: str, bands: list[int | str]) -> None:
    assert compose(f"source.bands={typed}").source.bands == bands


def test_bands_replace_the_one_that_a_file_names_and_none_replaces_them() -> None:
    assert compose("source=planet", "source.bands=all").source.bands == ["all"]
    assert compose("source.bands=null", "source.band=2").source.band == 2
