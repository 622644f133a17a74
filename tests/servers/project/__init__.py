"""The project that the servers serve: each answer names the tenant and request it was made for."""

from __future__ import annotations
