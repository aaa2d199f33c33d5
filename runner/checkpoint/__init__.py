"""Finished tasks of a run, kept so that a stopped run resumes."""

from typing import Final

SUFFIX: Final = ".task"  # of the file of a task
