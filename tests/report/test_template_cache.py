"""Compiled templates on disk: used for the same source, and made anew from whatever else lies there."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader

from runner.report import template_cache
from runner.report.template_cache import TemplateCache


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    kept = tmp_path / "kept" / Path(template_cache.__file__).parent.relative_to("/")
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "kept"))
    kept.mkdir(parents=True)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "page.j2").write_text("one {{ x }}")
    return tmp_path / "page.j2"


def rendered(page: Path) -> str:
    pages = Environment(autoescape=True, loader=FileSystemLoader(page.parent), bytecode_cache=TemplateCache())
    return pages.get_template(page.name).render(x=1)


def files(page: Path) -> list[Path]:
    return [path for path in (page.parent / "kept").rglob("*") if path.is_file()]


def test_code_is_kept_for_its_source(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rendered(page) == "one 1"
    (kept,) = files(page)
    with monkeypatch.context() as patch:
        patch.setattr(Environment, "compile", lambda *_: pytest.fail("compiled again"))
        assert rendered(page) == "one 1"
    page.write_text("two {{ x }}")
    assert rendered(page) == "two 1"
    assert files(page) == [kept]


@pytest.mark.parametrize("spoil", [lambda data: b"", lambda data: data[:-30], lambda data: b"\x80garbage" * 9])
def test_damaged_code_is_compiled_again(page: Path, spoil: Callable[[bytes], bytes]) -> None:
    rendered(page)
    (kept,) = files(page)
    kept.write_bytes(spoil(kept.read_bytes()))
    assert rendered(page) == "one 1"


def test_a_folder_that_is_not_there_is_not_missed(page: Path) -> None:
    shutil.rmtree(page.parent / "kept")
    assert rendered(page) == "one 1"
    assert not files(page)
