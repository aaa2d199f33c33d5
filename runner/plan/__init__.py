"""What a run will read, in which blocks and how much memory, known before any cluster starts."""
