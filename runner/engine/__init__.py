"""The engines that compute the passes of a plan."""
