"""Settings of a process that prints where it must not: when it starts, and in a tool."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.settings import *  # noqa: F403  # all of them, except for the following

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["TEST_DATABASE"],
        "OPTIONS": {"timeout": 60},
    }
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": sys.stdout}},
    "root": {"handlers": ["stdout"], "level": "DEBUG"},
}


def search(text: str, tools: object, limit: int) -> list[str]:
    """Print in each way; a function of the project that runs in the command's process."""
    print("from print()")
    os.write(1, b"from the descriptor\n")
    subprocess.run(["echo", "from a child"], check=True)
    return ["testapp.add"]


CODEMODE = {"SEARCH": search}
if not os.environ.get("PYTHONUNBUFFERED"):  # else it is sent before the command can prevent it
    print("when it starts")
