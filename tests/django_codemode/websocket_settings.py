"""Settings of a test's server process: the test's database, executor and Redis."""

from __future__ import annotations

import os

from tests.settings import *  # noqa: F403  # all of them, except for the following

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["TEST_DATABASE"],
        "OPTIONS": {"timeout": 60},
    }
}
CODEMODE = {"EXECUTOR_URL": os.environ["TEST_EXECUTOR"], "TENANT_HEADER": "X-Tenant"}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        # Longer than the 5 seconds for which the layer waits for a message. The default of redis-py
        # 8 is just as long, and then an idle socket ends with an error.
        "CONFIG": {"hosts": [{"address": os.environ["TEST_REDIS"], "socket_timeout": 30}]},
    }
}
