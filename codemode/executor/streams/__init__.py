"""One stream of a client: its admission, its sandbox and its runs."""
