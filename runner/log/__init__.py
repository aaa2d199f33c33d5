"""What a run leaves to be read: its record, its log, its tables of inputs and outputs."""
