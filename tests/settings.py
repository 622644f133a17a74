"""Settings of the test suite: the example's apps over a database file of this process."""

from __future__ import annotations

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

SECRET_KEY = "for-tests-only"
USE_TZ = True
TIME_ZONE = "UTC"
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django_codemode",
    "shop",
    "tests.testapp",
    # In the group frameworks.
    *(["oauth2_provider"] if find_spec("oauth2_provider") else []),
]

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_codemode.middleware.CodemodeMiddleware",
]
ROOT_URLCONF = "tests.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# A file, because threads that share a database in memory lock each other out. One per process,
# because test suites may run side by side.
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
        "OPTIONS": {"timeout": 60},
        "TEST": {"NAME": Path(tempfile.gettempdir()) / f"codemode-tests-{os.getpid()}.sqlite3"},
    }
}

CODEMODE: dict[str, object] = {}
