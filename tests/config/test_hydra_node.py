"""What a config folder may say to Hydra: values, and nothing by which Hydra would run code or write secrets."""

from pathlib import Path

import pytest
from config_files import refusal, theirs
from jobs import Cli, compose
from marks import few_quick


@pytest.mark.parametrize(
    ("node", "message"),
    few_quick(
        [
            (
                "callbacks: {x: {_target_: os.makedirs}}",
                "hydra.callbacks.x._target_=os.makedirs: a config names no Python",
            ),
            ("callbacks: ${sweep}", "hydra.callbacks"),
            ("callbacks: {x: {deeper: [{_target_: os.makedirs}]}}", "_target_=os.makedirs"),
            ("launcher: {_target_: os.makedirs}", "hydra.launcher._target_=os.makedirs"),
            (
                "launcher: {_target_: hydra_plugins.other.Launcher}",
                "hydra.launcher._target_=hydra_plugins.other.Launcher",
            ),
            ("sweeper: {_target_: os.makedirs}", "hydra.sweeper._target_=os.makedirs"),
            ("sweeper: {params: {x: {_partial_: true}}}", "hydra.sweeper.params.x._partial_=True"),
            ("job_logging: {handlers: {x: {(): os.makedirs}}}", "hydra.job_logging.handlers.x.()=os.makedirs"),
            (
                "job_logging: {handlers: {x: {class: logging.FileHandler, filename: x}}}",
                "the run writes run.log itself",
            ),
            ("job_logging: {handlers: {x: {stream: 'ext://os.environ'}}}", "stream=ext://os.environ"),
            ("job_logging: {handlers: {x: {level: 'ext://os.environ'}}}", "a logging config holds plain values only"),
            ("job_logging: {root: {level: '${oc.env:HOME}'}}", "a logging config holds plain values only"),
            (
                "hydra_logging: {formatters: {line: {(): os.makedirs}}}",
                "hydra.hydra_logging.formatters.line.()=os.makedirs",
            ),
            ("hydra_logging: {formatters: {line: {style: '{'}}}", "style={"),
            ("job: {env_set: {AWS_CONFIG_FILE: x}}", "hydra.job.env_set: variables are set in the shell"),
            ("job: {chdir: true}", "hydra.job.chdir: a run stays in its folder"),
            ("output_subdir: .hydra", "hydra.output_subdir: wanted null"),
            ("sweep: {subdir: ../x}", "hydra.sweep.subdir=../x: wanted a folder inside of hydra.sweep.dir"),
            ("sweep: {subdir: /tmp/x}", "hydra.sweep.subdir=/tmp/x: wanted a folder inside"),
            ("run: {dir: 'x/${oc.env:AWS_SESSION_TOKEN}'}", "hydra.run.dir=[redacted]: a secret has no place"),
        ],
        8,
    ),
)
def test_an_experiment_of_somebody_elses_cannot_run_code(tmp_path: Path, node: str, message: str) -> None:
    path = theirs(tmp_path, f"# @package _global_\nhydra:\n  {node}\n")
    assert message in refusal(path, "experiment=theirs")


@pytest.mark.parametrize(
    ("file", "text", "word"),
    few_quick(
        [
            (
                "hydra/job_logging/theirs",
                "version: 1\nroot: {handlers: [{(): os.makedirs}]}",
                "hydra/job_logging=theirs",
            ),
            ("hydra/hydra_logging/theirs", "handlers: {h: {class: os.makedirs}}", "hydra/hydra_logging=theirs"),
            ("hydra/launcher/theirs", "_target_: os.makedirs", "hydra/launcher=theirs"),
            ("hydra/sweeper/theirs", "_target_: os.makedirs", "hydra/sweeper=theirs"),
            ("hydra/callbacks/theirs", "x: {_target_: os.makedirs}", "hydra/callbacks=theirs"),
            ("source/theirs", "# @package hydra.callbacks\nx: {_target_: os.makedirs}", "source=theirs"),
            ("source/theirs", "x: {_target_: os.makedirs}", "+source@hydra.callbacks=theirs"),
        ],
        4,
    ),
)
def test_nor_can_an_option_of_a_group(tmp_path: Path, file: str, text: str, word: str) -> None:
    assert "os.makedirs" in refusal(theirs(tmp_path, text, file), word)


@pytest.mark.parametrize(
    "word",
    ["hydra/launcher=basic", "hydra/launcher=isolated", "hydra/sweeper=basic", "hydra/job_logging=stdout",
     "hydra/job_logging=disabled", "hydra/job_logging=none", "hydra/hydra_logging=default", "hydra.verbose=true",
     "hydra.run.dir=elsewhere", "hydra.sweep.dir=elsewhere"],
)  # fmt: skip
def test_hydras_own_options_are_free_to_choose(word: str) -> None:
    assert compose(word).stages


SLURM = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("nested: {_target_: os.makedirs}", "hydra.launcher.nested._target_=os.makedirs"),
        ("nested: '${oc.create:{_target_: os.makedirs}}'", "write the value out"),
        ("nested: '${hydra:job}'", "write the value out"),
        ("setup: [touch ran]", "hydra.launcher.setup: a shell runs that"),
        ("python: touch ran;", "hydra.launcher.python: a shell runs that"),
    ],
)
def test_a_launcher_of_theirs_gets_no_code_either(tmp_path: Path, key: str, message: str) -> None:
    path = theirs(tmp_path, f"_target_: {SLURM}\n{key}\n", "hydra/launcher/theirs")
    assert message in refusal(path, "hydra/launcher=theirs")


def test_lines_of_a_job_script_may_be_typed(tmp_path: Path) -> None:
    path = theirs(tmp_path, f"_target_: {SLURM}\nsetup: null\n", "hydra/launcher/theirs")
    assert compose(path, "hydra/launcher=theirs", "hydra.launcher.setup=[module load gdal]").stages


def test_the_command_line_refuses_it_before_anything_runs_even_for_a_plan(cli: Cli, tmp_path: Path) -> None:
    theirs(
        tmp_path / "conf",
        f"# @package _global_\nhydra: {{callbacks: {{x: {{_target_: os.makedirs, name: {tmp_path}/ran}}}}}}",
    )
    done = cli("--config-dir", "conf", "experiment=theirs", "action=plan")
    assert done.returncode == 2
    assert "theirs.yaml:2: hydra.callbacks.x._target_=os.makedirs: a config names no Python" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["conf"]
