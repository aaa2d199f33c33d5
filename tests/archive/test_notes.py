"""Notes on many stacks: what is alike is told once."""

import pytest

from runner.archive.notes import StackNotes


def test_the_first_note_of_a_kind_is_told_and_the_others_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    notes = StackNotes()
    notes.take("a", ["the items of 2 of 3 scenes state a scale", "3 scenes of one time, told apart by band"])
    notes.take("b", ["the items of 7 of 7 scenes state a scale"])
    notes.take("c", [])
    notes.take("d", ["the items of 1 of 1 scenes state a scale"])
    notes.tell_others()
    assert capsys.readouterr().err.splitlines() == [
        "a: the items of 2 of 3 scenes state a scale",
        "a: 3 scenes of one time, told apart by band",
        "such a note as that on a is on 2 more stacks: b, d",
    ]
