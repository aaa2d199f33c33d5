"""Jobs composed in a process of somebody else's, who may use Hydra too."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra import version as hydra_version
from hydra._internal import defaults_list
from hydra._internal import hydra as application
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from jobs import ROOT

from runner.config.composed import compose_job
from runner.errors import ConfigError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """The config folder of an application of the caller's."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "app.yaml").write_text("defaults: [settings, _self_]\nlearning_rate: 0.1\n")
    return folder


def test_a_job_has_the_words_of_the_command_that_makes_the_same(here: Path) -> None:
    composed = compose_job(["source=local", "source.url=/my data/*.tif", "chunks=row"])
    assert composed.command == ("cog-stack-runner", *composed.overrides)
    assert composed.overrides == ("source=local", "source.url=/my data/*.tif", "chunks=row")
    assert composed.job.source.url == composed.resolved["source"]["url"] == "/my data/*.tif"
    assert composed.written["output"]["dir"] == "${hydra:runtime.output_dir}"
    assert Path(composed.job.output.dir).parent.parent == here / "outputs"
    assert not [*here.iterdir()]


def test_a_folder_of_the_same_second_gets_a_number(here: Path) -> None:
    words = ["hydra.run.dir=outputs/now"]
    first = compose_job(words).job.output.dir
    Path(first).mkdir(parents=True)
    second = compose_job(words).job.output.dir
    assert (Path(first).name, Path(second).name) == ("now", "now_2")


def test_a_config_folder_of_the_users_is_found(here: Path) -> None:
    mine = here / "my_conf/chunks"
    mine.mkdir(parents=True)
    (mine / "mine.yaml").write_text("time: 3\n")
    composed = compose_job(["--config-dir", "my_conf", "chunks=mine"])
    assert composed.job.chunks.time == 3
    assert composed.command[1:3] == ("--config-dir", "my_conf")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--config-dir", "nowhere"], "--config-dir nowhere: there is no such folder"),
        (["-m", "chunks=row,block"], "-m: flags are the command line's"),
        (["chunks=row,block"], "chunks=row,block"),
        (["hydra.mode=MULTIRUN"], "sweep of many jobs"),
        (["sweep.seed=3"], "this is a single job"),
        (["sorce=local"], "did you mean 'source=local'"),
        (["local"], "did you mean source=local"),
        (["source.limit=many"], "source.limit"),
        (["source=local"], "source.url has no value"),
        (["source=lokal"], "did you mean 'local'"),
        (["source.url=\udcff"], "not text"),
        (["stages.spatial_mean.chunks.time=3"], "write stages.NAME.chunks=auto"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(words: list[str], problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        compose_job(words)
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)


def test_hydra_is_left_as_it_was_found(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Plugins.instance()  # as an application of Hydra has loaded them
    loader = ConfigLoaderImpl  # other tests may have put ours there
    monkeypatch.setitem(vars(application), "ConfigLoaderImpl", loader)
    monkeypatch.setitem(vars(defaults_list), "_create_interpolation_map", choices := lambda *_: None)
    monkeypatch.setitem(ConfigStore.instance().repo, "settings.yaml", None)
    ConfigStore.instance().store("settings", {"batch": 8})
    with initialize_config_dir(str(theirs), version_base="1.2"):
        HydraConfig.instance().set_config(compose("app", return_hydra_config=True))
        before = HydraConfig.instance().cfg
        compose_job(["source.limit=3"])
        with pytest.raises(ConfigError):
            compose_job(["source.limit=many"])
        assert hydra_version.getbase() == hydra_version._get_version("1.2")
        assert HydraConfig.instance().cfg is before
        assert vars(application)["ConfigLoaderImpl"] is loader
        assert vars(defaults_list)["_create_interpolation_map"] is choices
        assert GlobalHydra.instance().is_initialized()
        assert compose("app", ["learning_rate=0.2"]) == {"batch": 8, "learning_rate": 0.2}


def test_the_working_folder_of_the_package_does_not_matter(here: Path) -> None:
    assert not here.is_relative_to(ROOT)
    assert compose_job([]).job.source.name == "demo"
