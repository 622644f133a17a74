from __future__ import annotations

import os

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Lose what the environment says, for the tests of the tests."""

    name = "tests.servers.project"

    def ready(self) -> None:
        if name := os.environ.get("SERVERS_MUTATION"):
            from tests.servers.project.mutations import MUTATIONS

            MUTATIONS[name]()
