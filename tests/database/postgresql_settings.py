"""The test suite's settings, on the PostgreSQL server whose socket's folder the environment names."""

from __future__ import annotations

import os

from tests.settings import *  # noqa: F403  # all of them, but for the database

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["CODEMODE_TEST_POSTGRESQL_HOST"],
        "USER": "postgres",
        "NAME": "postgres",
        "TEST": {"NAME": "codemode_tests"},
    }
}
