"""Promises for environments where another distribution also has a package ``codemode``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.paths import ROOT

CHECK = """
import django
from django.conf import settings
from django.core.management import call_command
settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_codemode"],
    MIDDLEWARE=["django_codemode.middleware.CodemodeMiddleware"],
)
django.setup()
call_command("check")
"""
MIXTURE = "has files of two distributions, django-codemode and opencodemode"


def install_ours(site: Path) -> None:
    for package in ("codemode", "django_codemode"):
        shutil.copytree(ROOT / package, site / package, dirs_exist_ok=True)


def install_theirs(site: Path) -> None:
    """Install the other distribution's modules, under names that ours has as well."""
    (site / "opencodemode-0.3.0.dist-info").mkdir(parents=True)
    metadata = "Metadata-Version: 2.1\nName: opencodemode\nVersion: 0.3.0\n"
    (site / "opencodemode-0.3.0.dist-info" / "METADATA").write_text(metadata)
    for name in ("", "config", "core", "tools"):
        (site / "codemode" / name).mkdir(parents=True, exist_ok=True)
        (site / "codemode" / name / "__init__.py").write_text("class Codemode: pass\n")


def run(program: str, *path: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, env=environment, cwd="/", capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "program", ["from codemode import Codemode", "from codemode.core.client import ExecutorClient"]
)
def test_import_of_a_client_names_the_other_distribution(program: str, tmp_path: Path) -> None:
    install_theirs(tmp_path)
    install_ours(tmp_path)

    ended = run(program, tmp_path)

    assert ended.returncode == 1
    assert MIXTURE in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "installations", [(install_theirs, install_ours), (install_ours, install_theirs)]
)
def test_import_of_the_app_names_the_other_distribution(
    installations: tuple[Callable[[Path], None], ...], tmp_path: Path
) -> None:
    for install in installations:
        install(tmp_path)

    ended = run(CHECK, tmp_path)

    assert ended.returncode == 1
    assert MIXTURE in ended.stderr.splitlines()[-1]


def test_import_of_the_app_names_the_package_that_hides_ours(tmp_path: Path) -> None:
    install_theirs(tmp_path)

    ended = run(CHECK, tmp_path, ROOT)

    assert ended.returncode == 1
    assert "is not that of django-codemode" in ended.stderr.splitlines()[-1]


def test_another_package_that_ours_hides_is_a_warning(tmp_path: Path) -> None:
    install_theirs(tmp_path)

    ended = run(CHECK, ROOT, tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert "(django_codemode.W018) opencodemode is installed as well" in ended.stderr
