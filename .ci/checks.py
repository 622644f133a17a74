"""The stages of ``.ci/run``, before a change lands, and of ``.ci/deep``, the heavy proofs.

Runs as root or not, on a machine with Python and pip. Whatever else is needed is
installed: into the clone, into a temporary folder or, as root, by apt.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import next_debian
import with_env
from readme_commands import readme_commands
from stages import ROOT, Check, Stage

PYTHON = str(ROOT / ".venv" / "bin" / "python")
PYTEST = (PYTHON, "-m", "pytest")
UV = (str(with_env.UV), "--quiet", "--system-certs")
UV_ENVIRONMENT = {
    "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(with_env.BOOTSTRAP / "cache")),
    "UV_PYTHON_DOWNLOADS": "never",
}
NOBODY = "65534"
EVERYDAY = ("-m", "not deep and not quiet")
# The two parts of these: the README's command runs the quick ones.
QUICK = ("-m", "not slow and not deep and not quiet")
SLOW = ("-m", "slow and not deep and not quiet")
IN_TIER_A = {"CODEMODE_TEST_TIER": "A"}
# Tests that depend on the tier of code that asks for no tier itself.
OF_THE_TIER = (
    "tests/codemode/core",
    *(
        f"tests/codemode/executor/test_{name}.py"
        for name in "bad_input cancellation growth interrupts killed".split()
    ),
    "tests/codemode/executor/host/test_limits.py",
    "tests/codemode/executor/streams/test_flood.py",
    "tests/codemode/executor/streams/test_wire_contract.py",
)
# Tests that depend on the versions of Python and Django.
OF_THE_PAIR = (
    "tests/codemode/catalogue",
    "tests/codemode/core",
    "tests/codemode/sandbox",
    "--ignore=tests/codemode/sandbox/attacks",
    "tests/codemode/tools",
    "tests/database",
    "tests/django_codemode",
    "tests/example_project",
)
# Tests that use Django.
OF_DJANGO = tuple(
    f"tests/{folder}"
    for folder in "concurrency database django_codemode example_project playground servers".split()
)
# Tests that depend on the user.
OF_THE_USER = (
    "tests/codemode/embedded",
    "tests/codemode/executor/host",
    "tests/codemode/executor/pool",
    "tests/codemode/executor/serving/test_probe.py",
    "tests/codemode/executor/streams/test_canaries.py",
    "tests/codemode/sandbox",
    "tests/codemode/wire",
    "tests/support",
)
PROPERTIES = (
    "--hypothesis-profile=deep",
    "--timeout=900",
    "tests/codemode/executor/streams/test_hostile_child.py",
    "tests/codemode/values/test_hostile_values.py",
    "tests/codemode/values/test_roundtrip.py",
    "tests/codemode/values/test_text.py",
)
# It skips the pages of frameworks that the environment does not have.
PAGES_OF_FRAMEWORKS = "tests/test_docs.py::test_examples_of_a_framework_give_what_its_page_shows"
# Adapters of frameworks that go neither together nor with the others: extra and package of each.
APART = {"crewai": ("crewai", "crewai"), "google_adk": ("google-adk", "google.adk")}
_FIND_POSTGRESQL = "from tests.database.postgresql import find_programs; find_programs()"
# Services that tests need: the Debian package, a command that succeeds if it is
# installed, and the variable that turns a skipped test into a failed one.
SERVICES = (
    ("postgresql", (PYTHON, "-c", _FIND_POSTGRESQL), "CODEMODE_TEST_POSTGRESQL_REQUIRED"),
    ("chromium", ("which", "chromium"), "CODEMODE_TEST_BROWSER_REQUIRED"),
    ("chromium-driver", ("which", "chromedriver"), "CODEMODE_TEST_BROWSER_REQUIRED"),
    ("redis-server", ("which", "redis-server"), "CODEMODE_TEST_REDIS_REQUIRED"),
)
# Python's own tests, of the Python that runs this; only deep tests need them.
OWN_TESTS = (
    f"libpython{sys.version_info.major}.{sys.version_info.minor}-testsuite",
    (PYTHON, "-c", "import test.test_asyncio"),
    "CODEMODE_TEST_CPYTHON_REQUIRED",
)
_TRY_TIER_A = "unshare --user --map-root-user --mount --net --ipc --uts --pid --fork".split()
_TRY_TIER_A += "mount -t tmpfs none /tmp".split()


def run(work: Path) -> Iterator[Stage]:
    """Yield the stages that must pass before a change lands."""
    yield from _static()
    first, second = map(shlex.split, readme_commands())
    yield Stage(name="README: first command", command=first)
    yield Stage(name="README: tests", command=second, tests=())
    yield Stage(name="Slow tests", command=PYTEST, tests=SLOW)
    # If no tier is named, tests run code in a tier where they see its process ids and folders.
    if _tier_a():
        yield Stage(
            name="Tier A", command=PYTEST, tests=(*EVERYDAY, *OF_THE_TIER), environment=IN_TIER_A
        )
    attacks = ("-m", "", "tests/codemode/sandbox/attacks/test_attacks.py")
    yield Stage(name="Attacks on every tier", command=PYTEST, tests=attacks)
    # Its own Python is what most newcomers have.
    yield from _with_python(14, work)
    # The README's commands have used the newest Python here and the lock file's Django.
    yield from _pair("Lowest", work, _lowest(), (*QUICK, *OF_THE_PAIR))
    packages, _, tests = _frameworks(work)
    yield from (packages, tests)
    yield from _distribution(work)
    yield from _unprivileged(work, (*EVERYDAY, *OF_THE_USER))


def deep(work: Path) -> Iterator[Stage]:
    """Yield the heavy stages, and in full those of which ``run`` takes a selection."""
    yield Stage(name="Measured, one at a time", command=PYTEST, tests=("-n0", "-m", "quiet"))
    yield Stage(name="Deep tests", command=PYTEST, tests=("-m", "deep and not quiet"))
    yield Stage(name="Properties, ten times as long", command=PYTEST, tests=PROPERTIES)
    if _tier_a():
        rooms = (f"tests/codemode/{room}" for room in "core embedded executor wire".split())
        whole = ("-m", "not quiet", *rooms)
        yield Stage(name="Tier A, whole", command=PYTEST, tests=whole, environment=IN_TIER_A)
    fork = "tests/concurrency/test_fork.py"
    yield from _pair("Lowest", work, _lowest(), (*SLOW, *OF_THE_PAIR, fork))
    yield from _pair("Oldest", work, ["django==5.2.*"], EVERYDAY)
    # It differs from the oldest pair, and from what ``run`` tests, in its Django alone.
    yield from _pair("Middle", work, ["django==6.0.*"], (*EVERYDAY, *OF_DJANGO))
    for minor in with_env.MINORS:
        yield from _with_python(minor, work)
    packages, types, _ = _frameworks(work)
    yield from (packages, types)
    for module in APART:
        yield from _framework_apart(work, module)
    not_of_django = (f"--ignore={folder}" for folder in OF_DJANGO)
    yield from _unprivileged(work, (*EVERYDAY, *not_of_django))


def _static() -> Iterator[Stage]:
    yield Stage(name="Lint", command=(PYTHON, "-m", "ruff", "check"))
    yield Stage(name="Format", command=(PYTHON, "-m", "ruff", "format", "--check"))
    yield Stage(name="Types", command=(PYTHON, "-m", "mypy"))
    yield Stage(name="Lock file", command=(*UV, "lock", "--check"), environment=UV_ENVIRONMENT)
    manage = (PYTHON, "example_project/manage.py", "makemigrations", "--check", "--dry-run")
    yield Stage(name="Migrations", command=manage)


def _lowest() -> list[str]:
    """Return the distribution's requirements, each in the lowest version that it allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    required = (*project["dependencies"], *project["optional-dependencies"]["channels"])
    return [requirement.replace(">=", "==") for requirement in required]


def _pair(
    name: str, work: Path, versions: Sequence[str], selection: Sequence[str]
) -> Iterator[Stage]:
    """Yield stages that test in an environment of the oldest Python and the given versions."""
    folder = work / name
    pytest = (str(folder / "bin" / "python"), "-m", "pytest", "-p", "no:cacheprovider")
    python = with_env.find_python(with_env.clean_environment(), with_env.MINORS[::-1])
    environment = {**UV_ENVIRONMENT, "UV_PROJECT_ENVIRONMENT": str(folder)}
    sync = (*UV, "sync", "--frozen", "--python", python)
    yield Stage(name=f"{name} pair: packages", command=sync, environment=environment)
    install = (*UV, "pip", "install", "--python", str(folder / "bin" / "python"))
    pinned = (*install, *versions)
    yield Stage(name=f"{name} pair: versions", command=pinned, environment=environment)
    yield Stage(name=f"{name} pair: tests", command=pytest, tests=selection)
    if _succeeds(PYTHON, "-c", _FIND_POSTGRESQL):
        postgresql = ("-n0", "-m", "deep", "tests/database/test_on_postgresql.py")
        yield Stage(name=f"{name} pair: PostgreSQL", command=pytest, tests=postgresql)


def _with_python(minor: int, work: Path) -> Iterator[Stage]:
    """Yield the README's commands and the attacks on a Python of this machine, else of Debian's
    next release. Where neither can be had, the one stage is listed as left out.
    """
    name = f"Python 3.{minor}"
    python, before = _python_here(minor), ()
    if python is None:
        if lacking := next_debian.why_not():
            reason = f"this machine has no such Python and cannot get one: {lacking}"
            yield Stage(name=name, command=(), left_out=reason)
            return
        system = work / "next-debian"
        if not system.exists():
            found = {one: _python_here(one) for one in with_env.MINORS}
            missing = [f"python3.{one}" for one, path in found.items() if path is None]
            make = (PYTHON, next_debian.__file__, "make", str(system), *missing)
            yield Stage(name="Debian's next release", command=make)
        python, before = f"python3.{minor}", next_debian.inside(system, ROOT, work)
    folder = work / f"python3.{minor}"
    own = (*before, str(folder / "bin" / "python"))
    environment = {
        **UV_ENVIRONMENT,
        "UV_CACHE_DIR": str(with_env.BOOTSTRAP / "cache"),
        "UV_LINK_MODE": "copy",
        "UV_PROJECT_ENVIRONMENT": str(folder),
    }
    sync = (*before, *UV, "sync", "--frozen", "--python", python)
    yield Stage(name=f"{name}: packages", command=sync, environment=environment)
    # The services are tested with the first Python.
    alone = dict.fromkeys((variable for *_, variable in SERVICES), "") if before else {}
    report, tests = (shlex.split(command)[2:] for command in readme_commands())
    yield Stage(name=f"{name}: README's first command", command=(*own, *report))
    tests = (*own, *tests, "-p", "no:cacheprovider")
    yield Stage(name=f"{name}: README's tests", command=tests, tests=(), environment=alone)
    attacks = ("-m", "", "tests/codemode/sandbox/attacks/test_attacks.py")
    yield Stage(name=f"{name}: attacks", command=tests, tests=attacks, environment=alone)


def _python_here(minor: int) -> str | None:
    try:
        return with_env.find_python(with_env.clean_environment(), (minor,))
    except SystemExit:
        return None


def _frameworks(work: Path) -> Iterator[Stage]:
    """Yield stages that check the adapters and the MCP server beside the frameworks together."""
    folders = ("codemode/integrations", "django_codemode/mcp", "tests/django_codemode/mcp")
    # Named one by one: what the configuration leaves out is left out of folders alone.
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    files += [
        ROOT / name
        for name in (
            "example_project/assistant/live.py",
            "tests/benchmarks/mcp_servers.py",
            "tests/servers/test_mcp.py",
        )
    ]
    imports = "test_importing_every_module_and_checking_makes_no_query"
    benchmark = "test_benchmark_of_the_mcp_server_has_a_floor_for_each_figure"
    yield from _beside(
        "Frameworks",
        work,
        packages=("--group", "frameworks"),
        files=sorted(str(file) for file in files if file.stem not in APART),
        tests=(
            f"tests/benchmarks/test_benchmarks_run.py::{benchmark}",
            "tests/django_codemode/management/test_codemode_mcp.py",
            "tests/django_codemode/mcp",
            "tests/example_project/assistant/test_live.py",
            f"tests/django_codemode/test_apps.py::{imports}",
            "tests/servers/test_mcp.py",
            "tests/typing/test_types.py",
            "tests/test_project.py",
            PAGES_OF_FRAMEWORKS,
            "tests/test_docs.py::test_examples_give_what_the_page_shows[mcp-tools.md]",
        ),
        required="1",
    )


def _framework_apart(work: Path, module: str) -> Iterator[Stage]:
    """Yield stages that check an adapter beside a framework that goes with none of the others."""
    extra, package = APART[module]
    names = "test_each_all_is_sorted_and_its_names_exist"
    yield from _beside(
        extra,
        work,
        packages=("--no-default-groups", "--group", "tests", "--extra", extra),
        files=(f"codemode/integrations/{module}.py",),
        tests=(
            # With its frameworks' versions of libraries, MCP servers as tools cannot be tested.
            "--ignore=tests/codemode/integrations/test_mcp.py",
            f"tests/test_project.py::{names}[codemode/integrations/{module}.py]",
            PAGES_OF_FRAMEWORKS,
        ),
        required=package,
    )


def _beside(
    name: str,
    work: Path,
    *,
    packages: Sequence[str],
    files: Sequence[str],
    tests: Sequence[str],
    required: str,
) -> Iterator[Stage]:
    folder = work / name
    python = str(folder / "bin" / "python")
    environment = {**UV_ENVIRONMENT, "UV_PROJECT_ENVIRONMENT": str(folder)}
    sync = (*UV, "sync", "--frozen", *packages, "--python", PYTHON)
    yield Stage(name=f"{name}: packages", command=sync, environment=environment)
    yield Stage(name=f"{name}: types", command=(python, "-m", "mypy", *files))
    yield Stage(
        name=f"{name}: tests",
        command=(python, "-m", "pytest", "-p", "no:cacheprovider"),
        tests=(*EVERYDAY, "tests/codemode/integrations", *tests),
        environment={"CODEMODE_TEST_FRAMEWORKS_REQUIRED": required},
    )


def _distribution(work: Path) -> Iterator[Stage]:
    built, installed = work / "dist", work / "installed"
    python = str(installed / "bin" / "python")

    def stage(name: str, *command: str, folder: Path = ROOT) -> Stage:
        name = f"Distribution: {name}"
        return Stage(name=name, command=command, environment=UV_ENVIRONMENT, folder=folder)

    yield stage("build", *UV, "build", "--out-dir", str(built))
    yield stage("content", PYTHON, ".ci/check_distribution.py", str(built))
    yield stage("environment", *UV, "venv", "--python", PYTHON, str(installed))
    wheels = map(str, built.glob("*.whl"))
    yield stage("installation", *UV, "pip", "install", "--python", python, *wheels)
    yield stage("command", str(installed / "bin" / "codemode-executor"), "--help", folder=work)
    program = "from codemode import Codemode as C\nwith C() as c: assert c.execute('6 * 7') == '42'"
    yield stage("execution", python, "-c", program, folder=work)


def _unprivileged(work: Path, selection: Sequence[str]) -> Iterator[Stage]:
    """Yield the README's commands, in a clone that an unprivileged user owns."""
    home = work / "nobody"
    as_nobody = (
        *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
        *("env", "-u", "UV_CACHE_DIR", "-u", "CODEMODE_TEST_TIER_REQUIRED"),
        *(f"HOME={home}", "PATH=/usr/local/bin:/usr/bin:/bin"),
    )
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return
    # Without a Python that the user may use, there is nothing to run.
    if not _succeeds(*as_nobody, "python3", "-m", "pip", "--version"):
        return
    home.mkdir()
    archive = subprocess.run(
        ["git", "archive", "--prefix=clone/", "HEAD"], cwd=ROOT, check=True, capture_output=True
    )
    subprocess.run(["tar", "-x", "-C", str(home)], input=archive.stdout, check=True)
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(home)], check=True)
    tier_a = [f"{name}={value}" for name, value in _tier_a(*as_nobody).items()]
    first, second = ([*as_nobody, *tier_a, *shlex.split(one)] for one in readme_commands())
    clone = home / "clone"
    yield Stage(name="Unprivileged: README's first command", command=first, folder=clone)
    yield Stage(name="Unprivileged: tests", command=second, folder=clone, tests=selection)


def _tier_a(*prefix: str) -> dict[str, str]:
    """Return the variable that forbids skipping tests of tier A, if ``unshare`` works here."""
    if shutil.which("unshare") and _succeeds(*prefix, *_TRY_TIER_A):
        return {"CODEMODE_TEST_TIER_REQUIRED": "A"}
    return {}


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


def install_services(which: str) -> None:
    """Install the services that tests need, if this user may, and require their tests."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    of_debian = sys.base_prefix == "/usr"
    services = (*SERVICES, OWN_TESTS) if which == "deep" and of_debian else SERVICES
    missing = [package for package, found, _ in services if not _succeeds(*found)]
    if missing:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        install = ["apt-get", "-qq", "install", "--no-install-recommends", *missing]
        subprocess.run(install, check=True, env=quiet)
    os.environ.update(dict.fromkeys((variable for *_, variable in services), "1"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=("run", "deep"))
    which = parser.parse_args().which
    stages = {"run": run, "deep": deep}[which]
    install_services(which)
    os.environ.update(_tier_a())
    with tempfile.TemporaryDirectory(prefix="cm-check-") as name:
        work = Path(name)
        work.chmod(0o755)
        check = Check(work / "reports")
        for stage in stages(work):
            check.run(stage)
        check.try_again()
        return check.finish()


if __name__ == "__main__":
    sys.exit(main())
