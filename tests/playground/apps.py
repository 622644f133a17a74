"""The app of the site that the tests visit."""

from __future__ import annotations

from django.apps import AppConfig

from django_codemode.signals import execution_started


class PlaygroundSiteConfig(AppConfig):
    name = "tests.playground"

    def ready(self) -> None:
        """Note the contexts of executions, in the site's process alone."""
        from tests.playground.codemode_tools import audit

        execution_started.connect(audit)
