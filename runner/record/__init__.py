"""What a run writes down about itself, and the same files read back."""
