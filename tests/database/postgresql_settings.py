"""The suite's settings on a PostgreSQL server; the environment names the folder of its socket."""

from __future__ import annotations

import os

from tests.settings import *  # noqa: F403  # all of them, except for the database

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["CODEMODE_TEST_POSTGRESQL_HOST"],
        "USER": "postgres",
        "NAME": "postgres",
        "TEST": {"NAME": "codemode_tests"},
    }
}
