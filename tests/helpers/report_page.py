"""A report, parsed by the standard library's HTML parser, to be asked by simple CSS selectors."""

import json
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from imagecodecs import png_decode

from runner.report.page import write_report

_VOID = {"meta", "img", "br", "wbr", "link", "input", "hr"}
_CLOSED_BY = {"td": {"td", "th", "tr"}, "th": {"td", "th", "tr"}, "tr": {"tr"}}  # ends that need not be written


@dataclass(eq=False)
class Element:
    name: str
    attributes: dict[str, str]
    parent: "Element | None"
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children).strip()

    def percent(self, side: str) -> float:
        return float(re.search(rf"{side}:(-?[\d.]+)%", self.attributes["style"]).group(1))

    def inside(self) -> list["Element"]:
        elements = [child for child in self.children if isinstance(child, Element)]
        return [one for element in elements for one in (element, *element.inside())]

    def matches(self, selector: str) -> bool:
        name, *classes = selector.split(".")
        return (not name or self.name == name) and set(classes) <= set(self.attributes.get("class", "").split())

    def all(self, selector: str) -> list["Element"]:
        """Elements inside by names and classes, as in `div.map span`."""
        *above, last = selector.split()
        found = [one for one in self.inside() if one.matches(last)]
        return [one for one in found if one.is_below(above, self)]

    def is_below(self, selectors: list[str], top: "Element") -> bool:
        at = self.parent
        for selector in reversed(selectors):
            while at is not None and at is not top and not at.matches(selector):
                at = at.parent
            if at is None or at is top:
                return False
            at = at.parent
        return True


class Page(Element):
    """A whole page."""

    def __init__(self, path: Path) -> None:
        super().__init__("page", {}, None)
        self.source = path.read_text("utf-8")
        parser = _Parser(self)
        parser.feed(self.source)
        parser.close()

    @cached_property
    def elements(self) -> list[Element]:
        return self.inside()

    def inside(self) -> list[Element]:
        if "elements" not in vars(self):
            return super().inside()
        return self.elements

    def one(self, selector: str) -> Element:
        return self.all(selector)[0]

    def rows(self, table: str) -> list[list[str]]:
        """The cells of the rows of tables, heads left out."""
        rows = self.all(f"{table} tr")
        return [[cell.text for cell in row.all("td")] for row in rows if row.all("td")]

    @property
    def figures(self) -> dict[str, list[float]]:
        """The exact numbers of the figures at the top."""
        tiles = self.all("div.figure")
        return {
            tile.all("div.label")[0].text: [float(one.attributes["value"]) for one in tile.all("data")]
            for tile in tiles
        }

    @cached_property
    def pictures(self) -> list[np.ndarray]:
        """Each picture as (red green blue alpha, rows, columns)."""
        return [
            np.moveaxis(png_decode(b64decode(one.attributes["src"].partition(",")[2])), -1, 0)
            for one in self.all("img")
        ]


class _Parser(HTMLParser):
    """Builds the tree; ends that HTML lets us leave out are put in."""

    def __init__(self, page: Page) -> None:
        super().__init__(convert_charrefs=True)
        self.at: Element = page

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        while name in _CLOSED_BY.get(self.at.name, ()):
            self.at = self.at.parent
        element = Element(name, {key: value or "" for key, value in attributes}, self.at)
        self.at.children.append(element)
        if name not in _VOID:
            self.at = element

    def handle_startendtag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(name, attributes)

    def handle_endtag(self, name: str) -> None:
        while self.at.parent is not None and self.at.name != name:
            assert self.at.name in _CLOSED_BY, f"<{self.at.name}> is not closed before </{name}>"
            self.at = self.at.parent
        assert self.at.parent is not None, f"</{name}> closes nothing"
        self.at = self.at.parent

    def handle_data(self, text: str) -> None:
        self.at.children.append(text)


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> Page:
    """The page of the folder after a change of its run.json."""
    facts = json.loads((folder / "run.json").read_text())
    change(facts)
    (folder / "run.json").write_text(json.dumps(facts))
    return Page(write_report(folder))
