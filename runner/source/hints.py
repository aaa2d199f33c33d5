"""Advice where a source's url matches nothing: what lies there, and how to write it."""

import glob
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fsspec.utils import glob_translate

from runner.base.suggest import nearest
from runner.errors import printable

_TIFF = re.compile(r"\.tiff?$", re.IGNORECASE)


def is_tiff(name: str) -> bool:
    """Tell if a key or path ends like a TIFF's."""
    return _TIFF.search(name) is not None


def nothing_hint(url: str, names: Sequence[str]) -> str:
    """A hint on what was probably meant; `names` are TIFFs that lie in the url's folders, as the url begins."""
    folder = url.rstrip("/") + "/"
    contents = [name for name in names if name.startswith(folder)]
    if contents:
        deep = any("/" in name.removeprefix(folder) for name in contents)
        meant_url = glob.escape(folder) + ("**/*" if deep else "*") + _ending(contents)
        return f": it is a folder of {_amount(contents)}; write {written(meant_url)}"
    literal = url[: url.rfind("/", 0, re.search(r"[*?]|$", url).start()) + 1]  # type: ignore[union-attr]
    inside = [name for name in names if name.startswith(literal)] if "[" in literal else []
    if inside:
        return _bracket_hint(literal.replace("[", "[[]") + url.removeprefix(literal), inside)
    hidden = [name for name in names if matches(url, name)]
    if hidden:
        return f"; '*' passes over {printable(hidden[0])}, where a name begins with a dot; write the dot, or rename it"
    others = [name for name in names if _matches_otherwise(url, name)]
    if others:
        return f", but {_amount(others)} would if they ended so; write {written(_TIFF.sub('', url) + _ending(others))}"
    sample = f"; {_amount(names)} there, such as {printable(names[0])}" if names else ""
    if not glob.has_magic(url):
        return f"{sample}; name one object, or a glob such as 'prefix/**/*.tif'"
    return f"{sample}; '*' stays within one folder, '**' goes below"


def missing_hint(folder: str) -> str:
    """A hint in place of a folder that is not there: the nearest beside it, or a variable as we read it."""
    text = f"; there is no folder {printable(folder)}"
    variable = re.search(r"\$\{?(\w+)", folder)
    if variable:
        return f"{text}; write ${{oc.env:{variable[1]}}} for the variable of the environment"
    path = Path(folder)
    try:
        folders = [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
    except OSError:
        return text  # it may not be listed
    near = nearest(path.name, folders)
    return f"{text}; did you mean {printable(str(path.with_name(near)))}" if near else text


def _bracket_hint(escaped: str, inside: Sequence[str]) -> str:
    """A hint on a url with brackets in a folder's name; `inside` are its files."""
    meant = [name for name in inside if matches(escaped, name)]
    if not meant:
        return nothing_hint(escaped, inside)
    return f"; {_amount(meant)} would if brackets stood for themselves; write {written(escaped)}"


def _amount(names: Sequence[str]) -> str:
    return f"{len(names)} file{'s' if len(names) > 1 else ''} {_ending(names)}"


def _ending(names: Sequence[str]) -> str:
    """The most frequent ending."""
    return Counter(match[0] for name in names if (match := _TIFF.search(name))).most_common(1)[0][0]


def _matches_otherwise(url: str, name: str) -> bool:
    """Tell if only .tif, .tiff, .TIF or .TIFF keeps a name from matching."""
    return matches(_TIFF.sub("", url) + ".*", name)


def matches(pattern: str, name: str) -> bool:
    """Tell if a name is one that a url names."""
    try:
        return re.match(glob_translate(pattern), name) is not None
    except ValueError:
        return False


def written(url: str) -> str:
    """A url as it stands on a command line."""
    return f"""'source.url="{printable(url)}"'"""
