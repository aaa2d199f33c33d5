"""Results on disk: written aside, checked, renamed."""
