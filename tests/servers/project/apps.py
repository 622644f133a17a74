from __future__ import annotations

import os

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """The project's configuration, which removes the mechanism that the environment names."""

    name = "tests.servers.project"

    def ready(self) -> None:
        # Imported late, because the module imports pytest.
        if "CODEMODE_TEST_MUTATION" in os.environ:
            from tests.support.mutations import take_away_what_the_environment_names

            take_away_what_the_environment_names()
