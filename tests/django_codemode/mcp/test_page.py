"""Promises of the page about the MCP server: a project made of its blocks gives what it shows.

A block may have several files, each of which begins with its name in a comment.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.paths import ROOT
from tests.support.processes import descendants, free_port, is_running, wait_until

PAGE = ROOT / "docs" / "guides" / "mcp-server.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
FILE = re.compile(r"^# (\S+\.py).*\n((?:(?!# \S+\.py).*\n)*)", re.MULTILINE)
# What the page takes for granted: a project with the shop, users and keys.
FILES = {
    "manage.py": """
from django.core.management import execute_from_command_line
import sys
execute_from_command_line(sys.argv)
""",
    "mysite/__init__.py": "",
    "mysite/settings.py": """
from config.settings import *
INSTALLED_APPS = [*INSTALLED_APPS, "accounts"]
ROOT_URLCONF = "mysite.urls"
DATABASES["default"]["NAME"] = "db.sqlite3"
""",
    "mysite/urls.py": """
from config.urls import *
from django.urls import include, path
""",
    "accounts/__init__.py": "",
    "accounts/models.py": """
from django.contrib.auth.models import User
from django.db import models

class ApiKey(models.Model):
    hash = models.CharField(max_length=64)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
""",
}
PREPARE = """
import django
django.setup()
from accounts.models import ApiKey
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.utils.crypto import salted_hmac
from shop.seed import seed
call_command("migrate", run_syncdb=True, verbosity=0)
seed()
alice = User.objects.create_user("alice")
alice.user_permissions.add(Permission.objects.get(codename="execute_code"))
ApiKey.objects.create(hash=salted_hmac("mcp", "s3cret").hexdigest(), user=alice)
"""


def blocks_with(language: str, word: str) -> list[str]:
    found = [text for kind, text in BLOCKS if kind == language and word in text]
    assert found, word
    return found


class Project:
    """A project in a folder, with the files of some of the page's blocks."""

    def __init__(self, folder: Path, *blocks: str) -> None:
        self.folder = folder
        for name, text in FILES.items():
            self._add(name, text)
        for block in blocks:
            for name, text in FILE.findall(block):
                self._add(name if "/" in name else f"mysite/{name}", text)
        # The example's own executor takes what isolation the host has.
        self._add("mysite/settings.py", "CODEMODE['MIN_TIER'] = 'unsafe'\n")
        self._add(
            "mysite/settings.py", "CODEMODE['CONTEXT_PROVIDER'] = 'shop.context.context_of'\n"
        )
        self.run("-c", PREPARE)

    def _add(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text)

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join(map(str, (self.folder, ROOT / "example_project", ROOT)))
        kept = {name: one for name, one in os.environ.items() if not name.startswith("CODEMODE_")}
        return {**kept, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "mysite.settings"}

    def run(self, *arguments: str) -> str:
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    @contextmanager
    def serves(self) -> Iterator[str]:
        """Serve ``asgi.py`` by uvicorn; yield the address."""
        address = f"127.0.0.1:{free_port()}"
        command = ["uvicorn", "mysite.asgi:application", "--log-level", "warning"]
        command += ["--host", "127.0.0.1", "--port", address.rpartition(":")[2]]
        with (
            (self.folder / "log").open("w+") as log,
            subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            ) as process,
        ):

            def answers() -> bool:
                assert process.poll() is None, (self.folder / "log").read_text()
                try:
                    return bool(httpx.get(f"http://{address}/mcp/").status_code)
                except httpx.TransportError:
                    return False

            try:
                assert wait_until(answers)
                yield address
            finally:
                below = descendants(process.pid)
                process.terminate()
        assert wait_until(lambda: not any(map(is_running, below)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "shop"


def test_a_client_with_a_key_gets_what_the_page_shows(folder: Path) -> None:
    asgi = blocks_with("python", "# asgi.py")[0]
    keys = blocks_with("python", "# accounts/mcp.py")
    (client,) = blocks_with("python", "async def main")
    (shown,) = blocks_with("console", "open orders")
    project = Project(folder, asgi, *keys)
    with project.serves() as address:
        assert "127.0.0.1:8123" in client
        got = project.run("-W", "error", "-c", client.replace("127.0.0.1:8123", address))
    assert got == shown


def test_oauth_is_found_by_clients_as_the_page_says(folder: Path) -> None:
    asgi = blocks_with("python", "# asgi.py")  # with Channels, too
    assert len(asgi) == 2
    project = Project(folder, *asgi, *blocks_with("python", "oauth2_provider"))
    with project.serves() as address:
        refused = httpx.post(f"http://{address}/mcp/")
        found = re.search(r'resource_metadata="([^"]+)"', refused.headers["WWW-Authenticate"])
        assert found is not None
        metadata = httpx.get(found[1]).json()
        (server,) = metadata["authorization_servers"]
        grants = httpx.get(f"{server}/.well-known/oauth-authorization-server").json()
    assert (refused.status_code, metadata["scopes_supported"]) == (401, ["codemode"])
    assert metadata["resource"] == f"http://{address}/mcp"
    assert grants["token_endpoint"].startswith(f"http://{address}/o/")


def test_the_configuration_of_a_client_is_what_the_page_shows(folder: Path) -> None:
    (shown,) = blocks_with("console", "--print-config")
    command, _, expected = shown.partition("\n")
    project = Project(folder, *blocks_with("python", "# accounts/mcp.py"))
    got = json.loads(project.run(*command.split()[2:]))
    (server,) = got["mcpServers"].values()
    # Of the test alone: a project as the page has it needs no other folders.
    del server["env"]["PYTHONPATH"]
    text = json.dumps(got, indent=2).replace(sys.executable, "/srv/shop/.venv/bin/python")
    assert text.replace(str(folder), "/srv/shop") == expected.strip()
