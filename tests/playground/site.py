"""The site in a process of its own, and a person's visit to it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx

from tests.support.paths import ROOT

__all__ = ["PAGE", "STREAM", "Site"]

PAGE = "/admin/django_codemode/codepermission/"
STREAM = f"{PAGE}stream/"


@dataclass
class Site:
    """The site, served by ASGI or WSGI while the block lasts."""

    kind: str
    """``asgi`` or ``wsgi``."""
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.log = self.folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.playground.serve", self.kind],
                cwd=ROOT,
                env={
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": "tests.playground.site_settings",
                    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "example_project")]),
                    "PLAYGROUND_DATABASE": str(self.folder / "database"),
                    **self.environment,
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        assert ready, self.log.read_text()
        port, self.sessions = json.loads(ready)
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        # This ends its stdin, and so the site.
        self.process.communicate(timeout=60)

    def visit(self, name: str | None) -> httpx.Client:
        """Return a client of a logged-in person, or of an anonymous one for None. Close it."""
        cookies = {} if name is None else {"sessionid": self.sessions[name]}
        return httpx.Client(base_url=self.url, cookies=cookies, timeout=60)


def token(page: str) -> dict[str, str]:
    """Return the form's field that protects the page against forged requests."""
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert found is not None
    return {"csrfmiddlewaretoken": found[1]}


def post(
    client: httpx.Client,
    code: str,
    path: str = PAGE,
    options: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Send the page's form as a browser without JavaScript does; ``options`` are other fields."""
    form = {"code": code, **(options or {}), **token(client.get(path).text)}
    return client.post(path, data=form, headers=headers)
