"""The README and the manual: what they say can be typed, every link leads somewhere, and nothing is left out."""

import ast
import contextlib
import dataclasses
import functools
import itertools
import logging
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from jobs import ROOT, compose
from omegaconf import DictConfig, open_dict, read_write
from pages import GENERATED, MANUAL, PAGES, Block, Command, anchors, blocks, commands, inline_code, links, named_file

import runner
from runner.config import job_config
from runner.config.arguments import flags_and_overrides
from runner.config.overrides import SHARED, refuse_overrides
from runner.config.vocabulary import config_dir, groups, known_keys
from runner.log import cli as log_cli
from runner.output import inputs
from runner.record import trace_table
from runner.settings import ClusterSettings, StageSettings
from runner.sweep.job_list import JobList
from runner.sweep.session import Session

COMMANDS = list({command.words: command for page in PAGES for command in commands(page)}.values())  # each once
OURS = [command for command in COMMANDS if command.own_words is not None]
OTHERS = [command for command in COMMANDS if command.own_words is None]
JOBS = [command for command in OURS if (command.own_words or [""])[:1] != ["log"]]
VERBS = [command for command in OURS if (command.own_words or [""])[:1] == ["log"]]
CONFIGS = [block for page in PAGES for block in blocks(page) if block.language == "yaml"]
SCRIPTS = [block for page in PAGES for block in blocks(page) if block.language == "python"]
API = runner.__all__
KNOWN_PROGRAMS = {"python3", "pip", "source", "eval", "cd", "export", "dask", "sbatch"}
# A folder that a page names by capitals stands for one that the reader has; a sweep leaves its winner's config.
WINNER = "outputs/DATE/TIME_sweep/experiment/best.yaml"
LOCAL = ("source=local", "source.url=/data/**/*.tif")  # what overrides of a recorded run are added to

OUTLIVING = (  # what these do would outlive a test: handlers of logs, plugins that are gone
    ("hydra.core.utils", "configure_log"),
    ("hydra._internal.core_plugins.basic_launcher", "configure_log"),
    ("hydra_plugins.cog_stack_runner", "_forget_plugins"),
)


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a reader who has written all files that the pages show."""
    for name, text in [(WINNER, "# @package _global_\nchunks: {time: 1}\n"), *map(shown_file, CONFIGS)]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(JobList, "add_grid", functools.partialmethod(add_each_word, whole=JobList.add_grid))
    monkeypatch.setattr(Session, "opened", lambda _session, **_: contextlib.nullcontext())
    monkeypatch.setattr(Session, "run", refuse_refused)
    monkeypatch.setattr("runner.sweep.search.search", add_first_values)
    Plugins.instance()  # loads those that are named here
    for module, function in OUTLIVING:
        monkeypatch.setattr(sys.modules[module], function, lambda *_: None)
    job_config.register_settings()
    level = logging.getLogger("runner").level
    yield tmp_path
    logging.getLogger("runner").setLevel(level)  # which a sweep raises


def shown_file(block: Block) -> tuple[str, str]:
    return named_file(block), block.text


def add_each_word(
    jobs: JobList, fixed: Sequence[str], several: Sequence[Sequence[str]], baseline: Sequence[str] | None, *, whole: Any
) -> Any:
    """Add jobs that have every word of a grid at least once, not the whole grid."""
    seen: set[str] = set()
    chosen = []
    for words in several:
        if not seen.issuperset(words):
            chosen.append(words)
            seen.update(words)
    return whole(jobs, fixed, chosen, baseline)


def refuse_refused(_session: Session, jobs: Sequence[Any]) -> None:
    assert jobs
    assert not [job.refusal for job in jobs if job.refusal]


def add_first_values(session: Session, fixed: Sequence[str], swept: Sequence[Any]) -> None:
    from runner.sweep.search import distribution

    values = {one.get_key_element(): vars(distribution(one)) for one in swept}
    first = [f"{key}={of['low'] if 'low' in of else of['choices'][0]}" for key, of in values.items()]
    session.run(session.job_list.add_grid(fixed, [[*fixed, *first]], session.settings.baseline))


# --- commands ---------------------------------------------------------------------------------------------------------


def of_pages(commands: Sequence[Command]) -> Iterator[Any]:
    """The commands. Those of the manual are left to the slow tests, since each is a composition of its own."""
    for command in commands:
        quick = command.block.page.name == "README.md"
        yield pytest.param(command, id=str(command), marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize("command", list(of_pages(JOBS)))
def test_a_job_can_be_composed(command: Command, reader: Path) -> None:
    flags, overrides = flags_and_overrides(command.own_words or [])
    compose_all(flags, overrides)


def compose_all(flags: Sequence[str], overrides: Sequence[str]) -> None:
    """Compose and check the job, or each job of a sweep, that these words make; the sweep runs none of them."""
    refuse_overrides(overrides)
    shown = {"-sc", "--hydra-help"} & set(flags)  # text alone, made of no job
    if shown:
        return
    multirun = ["hydra.mode=MULTIRUN"] if {"-m", "--multirun"} & set(flags) else []
    words = [*overrides, *searched(flags), *multirun]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        if hydra.get_mode("config", words) is RunMode.MULTIRUN:  # as -m or an experiment says
            hydra.multirun("config", check, words, with_log_configuration=False)
            return
        tree = hydra.compose_config("config", words, run_mode=RunMode.RUN, with_log_configuration=False)
        HydraConfig.instance().set_config(tree)
        tree.output.dir = "outputs/test"  # Hydra's own folder otherwise, which it has not made
        check(tree)


def check(tree: DictConfig) -> int:
    choices = dict(HydraConfig.get().runtime.choices)
    with read_write(tree), open_dict(tree):
        tree.pop("hydra", None)
    job_config.read_job(tree, choices)
    return 0


def searched(flags: Sequence[str]) -> list[str]:
    """A folder given by --config-dir as Hydra's compose takes it."""
    given = [value for flag, value in itertools.pairwise(flags) if flag == "--config-dir"]
    assert all(Path(folder).is_dir() for folder in given), given
    return [f"hydra.searchpath=[{','.join(f'file://{Path(folder).absolute()}' for folder in given)}]"] if given else []


@pytest.mark.parametrize("command", VERBS, ids=str)
def test_a_verb_takes_its_arguments(command: Command, reader: Path) -> None:
    _, *words = command.own_words or []
    if "--help" in words:
        assert set(words) - {"--help"} <= {verb.name for verb in log_cli.VERBS}
        return
    at = words.index("--") if "--" in words else len(words)
    options, unknown = log_cli._parser().parse_known_args(words[:at])
    assert not unknown
    if overrides := words[at + 1 :]:
        assert options.verb.overrides
        compose(*LOCAL, *overrides)


@pytest.mark.parametrize("command", OTHERS, ids=str)
def test_a_command_of_another_program_is_a_known_one_or_a_script_of_ours_with_its_flags(command: Command) -> None:
    program, *words = command.words
    if Path(program).name != "python" or words[0] == "-m":
        assert Path(program).name in {*KNOWN_PROGRAMS, "python"}
        return
    script = ROOT / words[0]
    text = "".join(path.read_text() for path in script.parent.glob("*.py"))  # they share some flags
    assert script.is_file()
    assert all(f'"{word}"' in text for word in words if word.startswith("--"))


def test_every_extra_exists_that_pip_is_given() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    given = {extra for command in OTHERS for word in command.words for extra in re.findall(r"^\.\[(.*)\]$", word)}
    assert given
    assert given <= set(known)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", CONFIGS, ids=str)
def test_a_config_file_can_be_chosen(block: Block, reader: Path) -> None:
    folder, group, file = named_file(block).split("/")
    name = Path(file).stem
    choice = {"stage": f"stage@stages.temporal_mean={name}", "cluster": f"cluster@stages.temporal_mean.cluster={name}"}
    compose_all(["--config-dir", folder], [choice.get(group, f"{group}={name}")])


@pytest.mark.parametrize("block", SCRIPTS, ids=str)
def test_python_can_be_parsed(block: Block) -> None:
    assert ast.parse(block.text)


# --- names ------------------------------------------------------------------------------------------------------------


def settings_named(page: Path) -> Iterator[str]:
    """The keys of what a text calls a setting: KEY=VALUE between backquotes."""
    for code in inline_code(page):
        for word in [] if " -sc " in code else code.split(" "):
            key = re.match(r"[~+]*([a-z][\w@./]*)=", word.replace("NAME", "spatial_mean"))
            if key:
                yield key[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_exists_that_a_text_names(page: Path) -> None:
    of_a_stage = {field.name for record in (StageSettings, ClusterSettings) for field in dataclasses.fields(record)}
    known = {*known_keys(), *groups(), *SHARED, *of_a_stage, *(f"cluster.{key}" for key in of_a_stage)}
    open_ended = ("gdal.options.", "source.where.", "hydra", "stage@stages.", "cluster@stages.", "chunks@stages.")
    unknown = {key for key in settings_named(page) if key not in known and not key.startswith(open_ended)}
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in links(page):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if path.name == GENERATED:
            continue
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_the_repository_exists_that_a_text_names(page: Path) -> None:
    paths = [code for code in inline_code(page) if re.fullmatch(r"(runner|conf|tests)/[\w./-]+", code)]
    modules = [code for code in inline_code(page) if re.fullmatch(r"runner(\.[a-z_]+)+", code) and code != "runner.py"]
    missing = [path for path in paths if not (ROOT / path).exists()]
    missing += [name for name in modules if not (module_exists(name) or name.removeprefix("runner.") in API)]
    assert not missing


def module_exists(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


# --- whole ------------------------------------------------------------------------------------------------------------


def test_the_readme_leads_to_every_page_of_the_manual() -> None:
    assert {f"runner/docs/{page.name}" for page in PAGES[1:]} <= set(links(PAGES[0]))


def test_a_docstring_of_the_tests_names_its_own_file() -> None:
    wrong = [
        path
        for path in (ROOT / "tests").rglob("*.py")
        for named in re.findall(r"`python (tests/[\w/]+\.py)", path.read_text("utf-8").partition('"""')[2])[:1]
        if named != str(path.relative_to(ROOT))
    ]
    assert not wrong


@pytest.mark.parametrize("schema", [trace_table.SCHEMA, inputs.SCHEMA], ids=["trace.parquet", "inputs.parquet"])
def test_the_page_on_run_folders_says_what_each_column_is(schema: Any) -> None:
    assert not set(schema.names) - set(inline_code(MANUAL / "run_folder.md"))


def test_the_questions_quote_messages_that_exist() -> None:
    table = (MANUAL / "faq.md").read_text().partition("| the message says |")[2].partition("\n\n")[0]
    quoted = [row.split("|")[1].strip() for row in table.splitlines()[2:]]
    code = "".join(path.read_text() for path in (ROOT / "runner").rglob("*.py"))
    assert quoted
    assert not [part for text in quoted for part in text.split(" ... ") if part not in code]


def test_the_manual_names_every_option_of_every_group() -> None:
    options = {path.stem for group in sorted(groups() - {"hydra"}) for path in (config_dir() / group).glob("*.yaml")}
    named = {word for page in PAGES for code in inline_code(page) for word in re.findall(r"\w+", code)}
    missing = sorted(options - named)
    assert not missing
