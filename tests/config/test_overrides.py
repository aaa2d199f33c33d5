"""Overrides as people type them: texts and lists without quotes, one word for all stages, names in place of groups."""

import re

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from jobs import compose

from runner.config.overrides import as_hydra_reads, for_each_stage, without_escapes
from runner.errors import ConfigError

PARSER = OverridesParser.create()


@pytest.mark.parametrize(
    "text",
    [
        "/data/a=b/*.tif",
        "/data/{2019,2020}/*.tif",
        "/data/a,b.tif",
        "/data/[ab]*.tif",
        "/data/x y/it's.tif",
        "/data/(x)/#1.tif",
        "/data/\"x\".tif",
        r"C:\data\*.tif",
        r"\\server\x\,y",
        r"a\(x\)",
        r"(?P<date>\d{8})",
        r"(?P<date>\d{8})\\",
        "~/x/*.tif",
        "$USER/x",
        "${oc.env:USER}/x",
        "007",
        "1_000",
        "1e3",
        "1.50",
        "true",
        "{a: b}",
        "{a:",
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["source.url", "+source.url", "gdal.options.GDAL_HTTP_RETRY_CODES"])
def test_a_text_is_what_the_shell_hands_over(key: str, text: str) -> None:
    (word,) = as_hydra_reads([f"{key}={text}"])
    assert str(PARSER.parse_override(word).value()) == text
    assert as_hydra_reads([word]) == [word]


@pytest.mark.parametrize("typed", ['"a=b"', "'a=b'"])
def test_quotes_of_hydras_own_stay(typed: str) -> None:
    assert as_hydra_reads([f"source.url={typed}"]) == [f"source.url={typed}"]


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("source.exclude=*a*", ["*a*"]),
        ("source.exclude=*a*,b", ["*a*", "b"]),
        ("source.exclude=[*a*,b]", ["*a*", "b"]),
        ("source.exclude=x=1", ["x=1"]),
        ("source.exclude=20200101", ["20200101"]),
        ("source.exclude=null", None),
        ("stages.spatial_mean.statistics=median", ["median"]),
        ("statistics=mean,q05", ["mean", "q05"]),
        ("source.valid_range=0,1", ["0", "1"]),
        ("source.valid_range=[0,1]", [0, 1]),
    ],
)
def test_one_word_is_a_list_of_one_and_commas_make_more(word: str, values: list[object] | None) -> None:
    assert PARSER.parse_override(as_hydra_reads([word])[0]).value() == values


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("source.url=/a=1/*.tif,/b=2/*.tif", ["'/a=1/*.tif'", "'/b=2/*.tif'"]),
        ("source.url=/a/*.tif,/b/*.tif", ["/a/*.tif", "/b/*.tif"]),
        ("source.start=2020-01-01,2031-01-01", ["2020-01-01", "2031-01-01"]),
        ("statistics=mean,median", ["mean", "median"]),
        ("source.url=choice(a,b)", ["a", "b"]),
    ],
)
def test_commas_are_a_sweep_in_a_multirun(word: str, values: list[str]) -> None:
    (read,) = as_hydra_reads([word], multirun=True)
    assert list(PARSER.parse_override(read).sweep_string_iterator()) == values


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("stages.a.cluster=processes", "cluster@stages.a.cluster=processes"),
        ("stages.a.cluster.kind=processes", "cluster@stages.a.cluster=processes"),
        ("stages.a.chunks=row", "chunks@stages.a.chunks=row"),
        ("stages.a.cluster=threads,processes", "cluster@stages.a.cluster=threads,processes"),
        ("cluster.kind=processes", "cluster=processes"),
        ("stages.a.chunks=null", "stages.a.chunks=null"),
        ("stages.a.cluster={n_workers: 2}", "stages.a.cluster={n_workers: 2}"),
        ("stages.a.cluster.n_workers=2", "stages.a.cluster.n_workers=2"),
        ("chunks=row", "chunks=row"),
        ("~stage@stages.a", "~stage@stages.a"),
    ],
)
def test_a_stage_takes_an_option_by_its_name(typed: str, read: str) -> None:
    assert as_hydra_reads([typed], multirun=True) == [read]


def test_what_is_said_of_all_stages_counts_less_than_what_is_said_of_one() -> None:
    words = ["cluster@stages.b.cluster=sync", "cluster=processes", "stages.a.statistics=['max']", "statistics=['mean']"]
    assert for_each_stage(words, ["a", "b"], ["cluster@stages.a.cluster"]) == [
        "cluster@stages.a.cluster=processes", "stages.b.statistics=['mean']", "cluster@stages.b.cluster=sync",
        "stages.a.statistics=['max']",
    ]  # fmt: skip
    assert for_each_stage(["cluster=sync"], ["own"], []) == ["+cluster@stages.own.cluster=sync"]


def test_a_cluster_for_all_stages_is_each_ones() -> None:
    words = ("+stage@stages.more=temporal_mean", "stages.more.statistics=max")
    stages = compose("cluster=processes", *words, "stages.temporal_mean.cluster=sync").stages
    assert {name: stage.cluster.kind.value for name, stage in stages.items()} == {
        "spatial_mean": "processes", "more": "processes", "temporal_mean": "sync",
    }  # fmt: skip


def test_keys_of_a_cluster_for_all_stages_are_refused_where_they_cannot_be() -> None:
    stages = compose("cluster=processes", "cluster.n_workers=2").stages.values()
    assert [stage.cluster.n_workers for stage in stages] == [2, 2]
    with pytest.raises(ConfigError, match=r"stages.temporal_mean.cluster.n_workers=2: wanted 1 or nothing"):
        compose("cluster=processes", "cluster.n_workers=2", "stages.temporal_mean.cluster=sync")


def test_statistics_for_all_stages_are_each_ones() -> None:
    assert [stage.statistics for stage in compose("statistics=median").stages.values()] == [["median"], ["median"]]


def test_a_dropped_stage_takes_no_cluster() -> None:
    assert list(compose("~stage@stages.temporal_mean", "cluster=sync").stages) == ["spatial_mean"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("cluster=proceses", "cluster=proceses: no such option; did you mean 'processes'; there are address"),
        ("cluster={n_workers: 2}", "give one of the cluster's names, such as cluster=processes"),
        ("exclude=*a*", "exclude: there is no such setting; did you mean 'source.exclude=*a*'"),
        ("limit=3", "did you mean 'source.limit=3'"),
        ("source.url='a'b'", "write 'source.url=\"a'"),
        ("source.url=/d/${USER}/*.tif", "source.url: ${USER} is not a setting; for the variable of the environment "
                                        "write 'source.url=\"/d/${oc.env:USER}/*.tif\"'"),
        ("hydra.run.dir=out/${NOPE}", "write 'hydra.run.dir=\"out/${oc.env:NOPE}\"'"),
        ("source.name=${source.nme}", "${source.nme} is not a setting; did you mean 'source.name'"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_gets_the_line_to_paste(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        compose(word)
    assert "\n" not in str(caught.value)


def test_a_variable_of_the_environment_is_read_as_hydra_spells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE", "como")
    assert compose("source=local", "source.url=/d/${oc.env:LAKE}/*.tif").source.url == "/d/como/*.tif"


@pytest.mark.parametrize(
    ("word", "plain"),
    [
        (r"source.url=s3\://b/**/*.tif", "source.url='s3://b/**/*.tif'"),
        ("source.url='s3://b/*.tif'", "source.url='s3://b/*.tif'"),
        (r"source.datetime_regex=(?P<date>\d{8})", r"source.datetime_regex=(?P<date>\d{8})"),
        ("chunks=block", "chunks=block"),
    ],
)
def test_a_job_gets_the_texts_of_its_sweep_without_hydras_escapes(word: str, plain: str) -> None:
    assert without_escapes(word) == plain
    assert as_hydra_reads([plain]) == as_hydra_reads(as_hydra_reads([plain]))
