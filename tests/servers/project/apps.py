from __future__ import annotations

import os

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Lose what the environment says, for the tests of the tests."""

    name = "tests.servers.project"

    def ready(self) -> None:
        # Imported only then, because the module imports pytest.
        if "CODEMODE_TEST_MUTATION" in os.environ:
            from tests.support.mutations import take_away_what_the_environment_names

            take_away_what_the_environment_names()
