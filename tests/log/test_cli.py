"""What is asked of `log` wrongly gets one line with what was meant."""

import pytest

from runner.log.cli import main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lss"], "error: lss: there is no such verb; did you mean 'ls'; there are ls, show, diff"),
        (["ls", "--were", "x"], "error: --were: there is no such flag; did you mean '--where'; see"),
        (["verify", "last", "--blokcs", "1"], "error: --blokcs: there is no such flag; did you mean '--blocks'"),
        (
            ["resume", "last", "mask.band=2"],
            "error: mask.band=2: overrides come after --: cog-stack-runner log resume last -- mask.band=2;",
        ),
        (["show", "last", "chunks=row"], "error: unrecognized arguments: chunks=row; see"),
        (["resume", "last", "chunks"], "error: unrecognized arguments: chunks; see"),
        (["show"], "error: the following arguments are required: RUN; see"),
    ],
)
def test_a_wrong_word_gets_one_line(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(message)
    assert told.count("\n") == 1
