"""The code that ran: the commit of the checkout it lies in, and the difference from that commit."""

import subprocess
from pathlib import Path

from runner.base.redact import redact
from runner.record.run import Code

_GIT = ("git", "--no-optional-locks")  # or git would write into the checkout
DIFF_BYTES = 64 * 2**10  # kept; a larger diff is cut
_MARGIN = 4 * 2**10  # bytes read beyond, so that no secret is cut in two before it is found
_SECONDS = 20.0  # for a word of git; on a slow disk a checkout's state is not worth waiting for
_COMMIT, _UNTRACKED = "# branch.oid ", "? "  # lines of git's porcelain format, version 2
_NONE = "(initial)"  # in place of a commit
_PARTS = ("runner", "conf")  # of the checkout: what a run executes and is composed from


def git_state(package: Path) -> Code | None:
    """Commit, whether the code differs from it, and that difference, without secrets; None if it was installed."""
    root = package.parent
    try:
        _git(root, "ls-files", "--error-unmatch", f"{package.name}/__init__.py")  # or it lies in somebody else's
        state = _git(root, "status", "--porcelain=v2", "--branch", "--", *_PARTS).splitlines()
        commit = next(line.removeprefix(_COMMIT) for line in state if line.startswith(_COMMIT))
        if commit == _NONE:
            return None
        changed = [line for line in state if not line.startswith("# ")]
        untracked = [line.removeprefix(_UNTRACKED) for line in changed if line.startswith(_UNTRACKED)]
        diff = "".join(f"untracked: {path}\n" for path in untracked)
        diff += _diff(root) if len(untracked) < len(changed) else ""
    except (OSError, subprocess.SubprocessError):
        return None
    shown = redact(diff)
    kept = shown.encode()[:DIFF_BYTES].decode(errors="ignore")
    return Code(commit, bool(changed), kept, len(kept) < len(shown))


def _git(root: Path, *words: str) -> str:
    command = [*_GIT, *words]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True, timeout=_SECONDS).stdout


def _diff(root: Path) -> str:
    """The start of the difference, however large it is."""
    command = [*_GIT, "diff", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD", "--", *_PARTS]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        start = process.stdout.read(DIFF_BYTES + _MARGIN)
        process.kill()
    return start.decode(errors="replace")
