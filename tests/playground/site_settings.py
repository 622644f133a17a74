"""Settings of the site that the tests visit: the example, under a strict policy."""

from __future__ import annotations

import os
from typing import Any

import django

from config.settings import *  # noqa: F403  the example's, with the changes below
from config.settings import CODEMODE, DATABASES, INSTALLED_APPS, MIDDLEWARE, TEMPLATES

DATABASES = {"default": {**DATABASES["default"], "NAME": os.environ["PLAYGROUND_DATABASE"]}}
ROOT_URLCONF = "tests.playground.urls"
LOGGING_CONFIG = None
CSRF_HEADER_NAME = "HTTP_X_XSRF_TOKEN"  # as on sites whose scripts use another framework

CODEMODE = {**CODEMODE, "RATE_LIMIT": os.environ.get("PLAYGROUND_RATE_LIMIT")}
if "PLAYGROUND_WITHOUT_TEST_TOOLS" not in os.environ:
    INSTALLED_APPS = [*INSTALLED_APPS, "tests.playground"]
if "PLAYGROUND_WITHOUT_MIDDLEWARE" in os.environ:
    MIDDLEWARE = [path for path in MIDDLEWARE if not path.startswith("django_codemode.")]
    SILENCED_SYSTEM_CHECKS = ["django_codemode.W001"]

SECURE_CSP = {"default-src": ["'self'"]}
if django.VERSION >= (6, 0):
    from django.utils.csp import CSP

    if "PLAYGROUND_POLICY_OF_NONCES" in os.environ:
        SECURE_CSP = {
            "default-src": [CSP.NONE],
            "script-src": [CSP.NONCE],
            "style-src": [CSP.NONCE],
            "connect-src": [CSP.SELF],
            "form-action": [CSP.SELF],
            "img-src": [CSP.SELF],
        }
        options: dict[str, Any] = TEMPLATES[0]["OPTIONS"]  # type: ignore[assignment]  # a dict
        options["context_processors"].append("django.template.context_processors.csp")
    MIDDLEWARE = ["django.middleware.csp.ContentSecurityPolicyMiddleware", *MIDDLEWARE]
