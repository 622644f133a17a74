"""The public place of what isolates sandboxes: tiers, and a seccomp profile for containers."""

from __future__ import annotations

from codemode.executor.host.isolation import SECCOMP_PROFILE, TIERS

__all__ = ["SECCOMP_PROFILE", "TIERS"]
