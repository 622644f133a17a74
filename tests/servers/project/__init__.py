"""The project that the servers serve: each answer says in whose name it was made."""

from __future__ import annotations
