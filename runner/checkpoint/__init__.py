"""Finished tasks of a run, kept so that a stopped run resumes."""
