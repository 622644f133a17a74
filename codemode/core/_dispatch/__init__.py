"""The only door to tools: the checks, hooks, threads and records of each call."""
