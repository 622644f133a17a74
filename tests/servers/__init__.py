"""Every kind of server, started for real: what its requests see, and what it leaves behind."""

from __future__ import annotations
