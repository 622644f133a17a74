"""Settings of the site that the tests visit: the example, under a strict policy."""

from __future__ import annotations

import os

import django

from config.settings import *  # noqa: F403  the example's, with the changes below
from config.settings import CODEMODE, DATABASES, INSTALLED_APPS, MIDDLEWARE

DATABASES = {"default": {**DATABASES["default"], "NAME": os.environ["PLAYGROUND_DATABASE"]}}
ROOT_URLCONF = "tests.playground.urls"
LOGGING_CONFIG = None

CODEMODE = {**CODEMODE, "RATE_LIMIT": os.environ.get("PLAYGROUND_RATE_LIMIT")}
if "PLAYGROUND_WITHOUT_TEST_TOOLS" not in os.environ:
    INSTALLED_APPS = [*INSTALLED_APPS, "tests.playground"]
if "PLAYGROUND_WITHOUT_MIDDLEWARE" in os.environ:
    MIDDLEWARE = [path for path in MIDDLEWARE if not path.startswith("django_codemode.")]
    SILENCED_SYSTEM_CHECKS = ["django_codemode.W001"]

SECURE_CSP = {"default-src": ["'self'"]}
if django.VERSION >= (6, 0):
    MIDDLEWARE = ["django.middleware.csp.ContentSecurityPolicyMiddleware", *MIDDLEWARE]
