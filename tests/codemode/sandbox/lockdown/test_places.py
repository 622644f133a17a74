"""Where Python and the packages lie: below /tmp, or below a home that only its owner may enter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from codemode.config import Tier
from codemode.executor.pool.packages import installed
from codemode.executor.pool.profiles import PROFILES
from tests.support.containers import NOBODY
from tests.support.hosts import needs_tier
from tests.support.paths import ROOT

pytestmark = pytest.mark.deep

LEFT_OUT = shutil.ignore_patterns("test", "*-packages", "idlelib", "config-*", "*.a")


class Place(NamedTuple):
    """A folder with a Python of its own, and numpy and pandas."""

    folder: Path

    def probe(self, tier: Tier, **who: Any) -> subprocess.CompletedProcess[str]:
        """Ask the executor of this Python what it would serve, all profiles included."""
        python = self.folder / "bin" / Path(sys.executable).resolve().name
        options = ("--json", "--tier", tier, "--min-tier", tier, "--packages")
        path = [str(self.folder / "site"), str(ROOT), *sys.path]
        return subprocess.run(
            [python, "-m", "codemode.executor", "--probe", *options, self.folder / "more"],
            env={
                "PATH": os.defpath,
                "PYTHONPATH": os.pathsep.join(filter(os.path.isdir, path)),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            cwd="/",
            capture_output=True,
            text=True,
            timeout=100,
            **who,
        )


@pytest.fixture(scope="module", params=["/tmp", "/var/tmp"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Give a Python in a folder below /tmp, and one elsewhere, where nothing hides it."""
    with tempfile.TemporaryDirectory(prefix="cm-test-", dir=request.param) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "bin").mkdir()
        shutil.copy2(Path(sys.executable).resolve(), folder / "bin")
        library = Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix}))
        target = folder / "lib" / library.name
        shutil.copytree(library, target, ignore=LEFT_OUT, symlinks=True, copy_function=copy)
        (folder / "more").mkdir()
        (folder / "more" / "rates.py").write_text("EUR = 1.5\n")
        (folder / "site").mkdir()
        packages = installed(PROFILES["data"].distributions)
        for path in map(Path, packages.parts):
            copy_all(path, folder / "site" / path.name)
        for site in map(Path, packages.sites):
            for path in site.glob("*.dist-info"):
                copy_all(path, folder / "site" / path.name)
        yield Place(folder)


def copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def copy_all(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, copy_function=copy)
    else:
        copy(str(source), str(target))


def assert_served(said: subprocess.CompletedProcess[str], tier: Tier) -> None:
    assert said.returncode == 0, said.stderr
    report = json.loads(said.stdout)
    assert (report["tier"], report["ok"]) == (tier, True)
    assert report["canaries"]["numpy and pandas work"] == {"passed": True}


@pytest.mark.parametrize("tier", ["A", "B", "C"])
def test_python_and_packages_may_lie_anywhere(place: Place, tier: Tier) -> None:
    needs_tier(tier)
    assert_served(place.probe(tier), tier)


@pytest.mark.parametrize("tier", ["A", "C"])
def test_they_may_lie_below_a_home_of_the_executors_own(place: Place, tier: Tier) -> None:
    needs_tier(tier)
    place.folder.chmod(0o700)
    try:
        assert_served(place.probe(tier), tier)
    finally:
        place.folder.chmod(0o755)


def test_tier_b_names_the_home_that_its_users_may_not_enter(place: Place) -> None:
    needs_tier("B")
    place.folder.chmod(0o700)
    try:
        said = place.probe("B")
    finally:
        place.folder.chmod(0o755)
    assert said.returncode == 3
    assert f"B: landlock_files: [Errno 13] Permission denied: '{place.folder}/" in said.stderr
    assert "a folder that only its owner may enter, such as a home" in said.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("tier", ["A", "C"])
def test_they_may_lie_below_the_home_of_an_unprivileged_user(place: Place, tier: Tier) -> None:
    needs_tier(tier)
    place.folder.chmod(0o700)
    os.chown(place.folder, NOBODY, NOBODY)
    try:
        said = place.probe(tier, user=NOBODY, group=NOBODY, extra_groups=[])
        if "loading shared libraries" in said.stderr or "No module named" in said.stderr:
            pytest.skip(
                "the checkout or its Python is below a folder that only its owner may enter"
            )
        assert_served(said, tier)
    finally:
        os.chown(place.folder, os.getuid(), os.getgid())
        place.folder.chmod(0o755)
