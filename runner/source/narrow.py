"""A narrower source.url that matches one scene of each time: proposed from two names, verified against all of them."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from glob import escape
from itertools import takewhile
from typing import Final, NamedTuple

_WILDCARD: Final = re.compile(r"\*\*/|\*\*|\*|\?|\[[^]]+\]")
_QUALITY: Final = re.compile(
    r"(?<![a-z])(qa|qc|quality|mask|udm\d?|fmask|scl|clouds?|shadow|pixel|angles?|browse|thumb\w*|preview)(?![a-z])",
    re.IGNORECASE,
)
Named = tuple[str, datetime]  # href and time of a scene


def narrower_url(url: str, scenes: Sequence[Named]) -> str | None:
    """A glob that matches exactly one of these scenes at each of their times, and no other name that `url` does not.

    One wildcard of `url` at a time is narrowed to what it stands for in one of the scenes of a crowded time. Bands of
    pixels come before masks and quality. None if no such glob is found.
    """
    tokens = _tokens(url)
    crowded = _crowded(scenes)
    matches = list(filter(None, map(_capturing(tokens).fullmatch, crowded)))
    for match in sorted(matches, key=lambda match: (bool(_QUALITY.search(match[0])), crowded.index(match[0]))):
        others = [other for other in matches if other is not match]
        for glob in _narrowed(tokens, match, others):
            if _one_of_each_time(glob, scenes):
                return glob
    return None


def _crowded(scenes: Sequence[Named]) -> list[str]:
    """The hrefs of the first time that has several."""
    times: dict[datetime, list[str]] = {}
    for href, time in scenes:
        times.setdefault(time, []).append(href)
    return next((sorted(hrefs) for hrefs in times.values() if len(hrefs) > 1), [])


def _tokens(url: str) -> list[str]:
    """Wildcards and the texts between them, in turn; a text stands first and last."""
    parts: list[str] = []
    end = 0
    for wildcard in _WILDCARD.finditer(url):
        parts += [url[end : wildcard.start()], wildcard[0]]
        end = wildcard.end()
    return [*parts, url[end:]]


def _capturing(tokens: Sequence[str]) -> re.Pattern[str]:
    """The pattern of a glob, with a group for each wildcard."""
    forms = [_regular(token) if number % 2 else re.escape(token) for number, token in enumerate(tokens)]
    return re.compile("".join(forms))


def _regular(wildcard: str) -> str:
    """A wildcard as a group of a regular expression."""
    if wildcard.startswith("["):
        inner = wildcard[1:-1].replace("\\", r"\\").replace("[", r"\[")
        return f"([{re.sub('^!', '^', inner)}])"
    return {"**/": "((?:[^/]+/)*)", "**": "(.*)", "*": "([^/]*)", "?": "([^/])"}[wildcard]


def _narrowed(tokens: Sequence[str], match: re.Match[str], others: Sequence[re.Match[str]]) -> Iterator[str]:
    """Globs with one wildcard narrowed where this scene's name differs from the others'; file names come first."""
    for number in range(len(match.groups()), 0, -1):
        text, elsewhere = match[number], [other[number] for other in others]
        if any(text != other for other in elsewhere):
            index = 2 * number - 1
            for form in _forms(tokens[index], text, elsewhere):
                yield "".join([*tokens[:index], form, *tokens[index + 1 :]])


def _forms(wildcard: str, text: str, others: Sequence[str]) -> Iterator[str]:
    """Narrower forms of a wildcard that stands for `text` here and for others elsewhere."""
    if wildcard == "**/":
        yield from _folder_forms(text.split("/")[:-1], [other.split("/")[:-1] for other in others])
    elif wildcard == "*":
        yield from _name_forms(text, others)
    yield escape(text)


def _folder_forms(folders: Sequence[str], others: Sequence[Sequence[str]]) -> Iterator[str]:
    """`**/` with a folder, or a part of its name, that differs from those at its place elsewhere."""
    for depth, folder in enumerate(folders):
        elsewhere = [other[depth] if depth < len(other) else "" for other in others]
        if any(folder != other for other in elsewhere):
            yield from (f"**/{form}/**/" for form in (escape(folder), *_name_forms(folder, elsewhere)))


def _name_forms(text: str, others: Sequence[str]) -> Iterator[str]:
    """`*` beside the part of a name that differs, at its end, at its start, or within."""
    before, part, after = split_names([text, *others])[0]
    left, right = re.findall(r"[\W_]*$", before)[0], re.findall(r"^[\W_]*", after)[0]
    if part:
        yield f"*{escape(left + part + after)}"
        yield f"{escape(before + part + right)}*"
        yield f"*{escape(left + part + right)}*"
    elif text[-1:].isdigit():
        yield "*[0-9]"  # and nothing follows, as it does elsewhere
    yield from _word_forms(text, others)


def _word_forms(text: str, others: Sequence[str]) -> Iterator[str]:
    """`*` beside a word that no other name has, with what stands before it."""
    for word in re.finditer(r"([\W_]*)([^\W_]+)", text):
        if not any(re.search(rf"(?<![^\W_]){re.escape(word[2])}(?![^\W_])", other) for other in others):
            yield f"{'*' if word.start() else ''}{escape(word[0])}{'*' if word.end() < len(text) else ''}"


def _one_of_each_time(glob: str, scenes: Sequence[Named]) -> bool:
    matches = _capturing(_tokens(glob)).fullmatch
    times = [time for href, time in scenes if matches(href)]
    return len(times) == len(set(times)) == len({time for _, time in scenes})


# --- names in words ---------------------------------------------------------------------------------------------


class Split(NamedTuple):
    """A name cut where it differs from others, between whole words."""

    before: str
    part: str
    after: str


def split_names(names: Sequence[str]) -> list[Split]:
    """Names cut where they differ: x_, B2 and .tif of x_B2.tif beside x_B3.tif."""
    words = [re.findall(r"[^\W_]+|[\W_]+", name) for name in names]
    head = _shared(words)
    tail = _shared([parts[head:][::-1] for parts in words])
    ends = [len(parts) - tail for parts in words]
    return [
        Split("".join(parts[:head]), "".join(parts[head:end]), "".join(parts[end:]))
        for parts, end in zip(words, ends, strict=True)
    ]


def differing_parts(names: Sequence[str]) -> list[str]:
    """The parts in which names differ, in order."""
    return sorted({split.part for split in split_names(names)})


def _shared(words: Sequence[Sequence[str]]) -> int:
    """Number of words that all begin with."""
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False)))
