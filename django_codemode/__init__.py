"""Codemode for Django: a model's code calls the project's tools in the request's own context."""

from __future__ import annotations

from django_codemode import same_name

same_name.refuse_other_package()

from django_codemode.atomic import run_atomic  # noqa: E402
from django_codemode.permissions import SYSTEM  # noqa: E402
from django_codemode.shared import get_codemode, register_tool  # noqa: E402

__all__ = ["SYSTEM", "get_codemode", "register_tool", "run_atomic"]
