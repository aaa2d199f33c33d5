"""The plan of a run, made before any cluster starts: passes, tasks, requests, bytes, memory."""
