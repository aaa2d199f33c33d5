"""A template is compiled once; what is damaged, changed, or cannot be kept is compiled again."""

from collections.abc import Callable
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader

from runner.report.template_cache import TemplateCache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    (tmp_path / "page.j2").write_text("<b>{{ name }}</b>")
    return tmp_path


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources that were compiled."""
    sources: list[str] = []

    def counted(self: Environment, source: str, *more: object, **options: object) -> object:
        sources.append(source)
        return compile_(self, source, *more, **options)  # type: ignore[arg-type, call-overload]

    compile_ = Environment.compile
    monkeypatch.setattr(Environment, "compile", counted)
    return sources


def render(folder: Path) -> str:
    environment = Environment(autoescape=True, loader=FileSystemLoader(folder), bytecode_cache=TemplateCache(folder))
    return environment.get_template("page.j2").render(name="<i>")


def flip_a_byte(folder: Path) -> None:
    (kept,) = (folder / "__pycache__").iterdir()
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 255
    kept.write_bytes(content)


CHANGES: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "nothing": (lambda folder: None, 1, "<b>&lt;i&gt;</b>"),
    "a flipped byte": (flip_a_byte, 2, "<b>&lt;i&gt;</b>"),
    "another template": (lambda folder: (folder / "page.j2").write_text("{{ name }}"), 2, "&lt;i&gt;"),
}


@pytest.mark.parametrize(("change", "times", "page"), CHANGES.values(), ids=CHANGES.keys())
def test_a_template_is_compiled_again_where_it_must_be(
    folder: Path, compiled: list[str], change: Callable[[Path], object], times: int, page: str
) -> None:
    render(folder)
    change(folder)
    assert render(folder) == page
    assert len(compiled) == times


def test_a_folder_that_takes_nothing_is_no_failure(folder: Path, compiled: list[str]) -> None:
    (folder / "__pycache__").write_text("a file")
    assert [render(folder) for _ in range(2)] == ["<b>&lt;i&gt;</b>"] * 2
    assert len(compiled) == 2
