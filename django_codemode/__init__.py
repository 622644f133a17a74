"""Codemode for Django: a model's code calls the project's tools in the request's own context."""

from __future__ import annotations

from django_codemode.permissions import SYSTEM
from django_codemode.shared import get_codemode, register_tool

__all__ = ["SYSTEM", "get_codemode", "register_tool"]
