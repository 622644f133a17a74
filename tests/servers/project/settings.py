from __future__ import annotations

import faulthandler
import importlib
import os
import signal

# By this signal, a test that waits in vain learns where each thread is.
faulthandler.register(signal.SIGRTMIN, all_threads=True)

SECRET_KEY = "for-tests-only"
DEBUG = os.environ.get("SERVERS_DEBUG") == "1"
USE_TZ = True
TIME_ZONE = "UTC"
ALLOWED_HOSTS = ["127.0.0.1"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_codemode",
    "tests.servers.project",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_codemode.middleware.CodemodeMiddleware",
]
ROOT_URLCONF = "tests.servers.project.urls"
WSGI_APPLICATION = "tests.servers.project.wsgi.application"

# No request here needs a database. Other tests cover what tools may do with one.
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}

# The environment chooses the executor: a shared one, or one per process.
CODEMODE = {"TENANT_HEADER": "X-Tenant"}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "unexpected": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: "/fail/" not in record.getMessage(),
        }
    },
    "loggers": {"django.request": {"filters": ["unexpected"]}},
}

# A module that the tests can change: runserver watches every imported module.
if "SERVERS_NOTES" in os.environ:
    importlib.import_module("servers_touched")
