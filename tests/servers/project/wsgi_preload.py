"""The application of a preloading server, with a client used before the fork."""

from __future__ import annotations

import os

from django_codemode import get_codemode
from tests.servers.project.identity import note
from tests.servers.project.wsgi import application

__all__ = ["application"]

result = get_codemode().run("6 * 7")
note({"kind": "preload", "expected": 42, "seen": [result.value], "pid": os.getpid()})
