"""Who computes the stages of a plan."""
