"""Pages in Markdown, taken apart: commands, files, links and names, each with the line it stands on."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs import ROOT

MANUAL = ROOT / "runner/docs"
GENERATED = "reference.md"  # made from runner/settings/, with a test of its own
PAGES = [ROOT / "README.md", *sorted(path for path in MANUAL.glob("*.md") if path.name != GENERATED)]
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"^(?:!|(?:[\d*/,-]+ +){5})(.*cog-stack-runner.*)$", re.MULTILINE)  # of a notebook, or a crontab
_OURS = re.compile(r"(\S*/)?(cog-stack-runner|python -m runner)(?= |$)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page, with the paragraph before it."""

    page: Path
    line: int
    language: str
    text: str
    before: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a page: a program and its words."""

    block: Block
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.block}: {' '.join(self.words)}"

    @property
    def own_words(self) -> list[str] | None:
        """The words after our command; None for a command of another program."""
        name = _OURS.match(" ".join(self.words))
        return None if name is None else list(self.words[len(name[0].split()) :])


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    text = page.read_text("utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2], _paragraph(text[: found.start()]))
        for found in _FENCED.finditer(text)
    ]


def _paragraph(text: str) -> str:
    return text.rstrip().rpartition("\n\n")[2]


def commands(page: Path) -> list[Command]:
    """The commands of a page's shell blocks, and of lines of notebooks and crontabs, without comments, variables before
    them and redirections; also commands that others are given in quotes.
    """
    return [Command(block, words) for block in blocks(page) for text in _shell(block) for words in _commands(text)]


def _shell(block: Block) -> list[str]:
    return [block.text] if block.language == "sh" else _LINE.findall(block.text)


def _commands(text: str) -> Iterator[tuple[str, ...]]:
    for line in re.sub(r" \d?>+ ?\S+", "", text.replace("\\\n", " ")).splitlines():
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word not in ("&&", "|", ";"):
                words.append(word)
                continue
            plain = _without_variables(words)
            if plain:
                yield tuple(plain)
                yield from (tuple(shlex.split(inner)) for inner in plain if _OURS.match(inner) and " " in inner)
            words = []


def _without_variables(words: list[str]) -> list[str]:
    first = next((at for at, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)), len(words))
    return words[first:]


def named_file(block: Block) -> str:
    """The file that a block of YAML is: the last path in the paragraph before it."""
    names = re.findall(r"`([\w./-]+\.yaml)`", block.before)
    assert names, f"{block}: name the file before the block, as `my_conf/source/lake.yaml`"
    return str(names[-1])


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCED.sub("", page.read_text("utf-8"))


def inline_code(page: Path) -> list[str]:
    """What stands between single backquotes, on one line or two."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(page))]


def links(page: Path) -> list[str]:
    """Targets of links and pictures."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


def anchors(page: Path) -> set[str]:
    """The names under which GitHub finds the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
