"""What a run will read, in which tasks and with how much memory, known before any cluster starts."""
