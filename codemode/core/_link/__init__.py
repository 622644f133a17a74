"""One run over one stream: its course, its messages and its two carriers."""
