"""The example as deployed: its secrets and addresses come from the environment."""

from __future__ import annotations

import os

from config import settings
from config.settings import *  # noqa: F403  # everything else is the same

DEBUG = False
SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = os.environ["ALLOWED_HOSTS"].split(",")

# For a proxy that terminates TLS and always sets this header, whatever the client sends.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = True
SECURE_HSTS_SECONDS = 30 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

# The executor is a separate service: CODEMODE_EXECUTOR_URL, CODEMODE_EXECUTOR_API_KEY.
# MIN_TIER is for the embedded executor only; CONTEXT_PROVIDER stays the same.
CODEMODE = {name: value for name, value in settings.CODEMODE.items() if name != "MIN_TIER"}
