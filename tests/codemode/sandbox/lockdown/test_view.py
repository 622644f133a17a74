"""What files sandboxed code can see: in tier A a view of its own, in C what Landlock lets through."""

from __future__ import annotations

import json
import os
import re
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import psutil
import pytest

from codemode import ClientConfig, Codemode
from codemode.config import CEILINGS
from codemode.executor.host.clean_start import CLEAN_ENVIRONMENT, import_path
from tests.support.hosts import needs_tier
from tests.support.paths import ROOT
from tests.support.processes import ExecutorProcess, wait_until

DEVICES = {"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"}


class Mount(NamedTuple):
    point: str
    options: frozenset[str]
    kind: str
    root: str
    super_options: frozenset[str]


@pytest.fixture(scope="module")
def tier_a() -> Iterator[ExecutorProcess]:
    needs_tier("A")
    with ExecutorProcess("--tier", "A", "--pool-size", "2") as process:
        yield process


@pytest.fixture(scope="module")
def tier_c() -> Iterator[ExecutorProcess]:
    needs_tier("C")
    with ExecutorProcess("--tier", "C", "--pool-size", "2") as process:
        yield process


@pytest.fixture
def outside_tmp() -> Iterator[Path]:
    """Give a folder that the view's own /tmp does not hide."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="cm-test-") as name:
        yield Path(name)


def value_of(
    executor: ExecutorProcess, code: str, profile: str | None = None, **inputs: Any
) -> Any:
    with Codemode.from_client_config(ClientConfig(executor_url=executor.url)) as codemode:
        outcome = codemode.run(code, inputs=inputs, profile=profile)
    assert outcome.status == "completed", outcome.error
    return outcome.value


def view_of_zygote() -> Mapping[str, list[str]]:
    """Ask the policy as the zygote does: without site-packages, in a clean environment."""
    script = (
        "import json, sys; sys.path += json.loads(sys.argv[1])\n"
        "from codemode.sandbox.lockdown import view\n"
        "folders = view.read_only_folders()\n"
        "print(json.dumps({'folders': folders, 'hidden': view.package_folders(folders)}))"
    )
    said = subprocess.check_output(
        [sys.executable, "-I", "-S", "-B", "-c", script, json.dumps(import_path())],
        env=CLEAN_ENVIRONMENT,
        timeout=100,
    )
    policy: Mapping[str, list[str]] = json.loads(said)
    return policy


def shown_in_tmp(paths: Iterable[str]) -> set[str]:
    """Return what each child mounts upon its own /tmp, to keep what lies below the other one."""
    return {str(Path(*Path(path).parts[:3])) for path in paths if path.startswith("/tmp/")}


def idle_child(executor: ExecutorProcess) -> psutil.Process:
    """Return a warm sandbox, locked down: executor, guardian, zygote, child."""
    (guardian,) = psutil.Process(executor.pid).children()
    (zygote,) = guardian.children()
    assert wait_until(lambda: len(zygote.children()) == 2)
    child = zygote.children()[0]
    # The filter of system calls comes last, when all is mounted.
    assert wait_until(lambda: filters_of(child.pid) > filters_of(zygote.pid))
    return child


def filters_of(pid: int) -> int:
    """Return how many filters of system calls a process has."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"^Seccomp_filters:\s*(\d+)$", status, re.MULTILINE)[0])


def mounts_of(pid: int) -> list[Mount]:
    try:
        text = Path(f"/proc/{pid}/mountinfo").read_text()
    except PermissionError:
        pytest.skip("only root may look into a sandbox from outside")
    mounts = []
    for line in text.splitlines():
        own, _, shared = line.partition(" - ")
        _, _, _, root, point, options, *_ = own.split()
        kind, _, super_options = shared.split()
        mounts.append(
            Mount(
                point,
                frozenset(options.split(",")),
                kind,
                root,
                frozenset(super_options.split(",")),
            )
        )
    return mounts


def test_mounts_are_exactly_those_of_the_policy(tier_a: ExecutorProcess) -> None:
    policy = view_of_zygote()
    bound = [folder for folder in policy["folders"] if not Path(folder).is_symlink()]
    # What is itself mounted below a bound folder comes along.
    nested = [
        mount.point
        for mount in mounts_of(os.getpid())
        if any(mount.point.startswith(f"{folder}/") for folder in bound)
    ]
    points = {mount.point for mount in mounts_of(idle_child(tier_a).pid)}
    assert points == {"/", "/tmp", *bound, *nested, *policy["hidden"], *DEVICES} | shown_in_tmp(
        bound
    )


def test_mounts_of_packages_are_exactly_what_is_exposed(outside_tmp: Path) -> None:
    needs_tier("A")
    (outside_tmp / "packages" / "rates").mkdir(parents=True)
    (outside_tmp / "beside").mkdir()
    options = ("--warm-profile", "data", "--packages", str(outside_tmp / "packages"))
    with ExecutorProcess("--tier", "A", "--pool-size", "2", *options) as process:
        mounts = mounts_of(idle_child(process).pid)
        site_packages = Path(numpy.__file__).parents[1]
        listed = value_of(
            process,
            "import os\nsorted(name for name in os.listdir(folder))",
            profile="data",
            folder=str(site_packages),
        )
    parts = {"numpy", "numpy.libs", "pandas", "pandas.libs", "dateutil", "tzdata", "six.py"}
    wanted = {str(site_packages / part) for part in parts if (site_packages / part).exists()}
    policy = view_of_zygote()
    below = tuple(f"{folder}/" for folder in (*policy["folders"], "/dev"))
    more = {mount.point for mount in mounts} - {"/", "/tmp", *policy["folders"]}
    exposed = {point for point in more if not point.startswith(below)}
    assert exposed == wanted | {str(outside_tmp / "packages")} | shown_in_tmp(wanted)
    assert listed == sorted(part for part in parts if (site_packages / part).exists())
    assert all("ro" in mount.options for mount in mounts if mount.point in exposed)


def test_all_is_read_only_but_tmp(tier_a: ExecutorProcess) -> None:
    for mount in mounts_of(idle_child(tier_a).pid):
        assert "nosuid" in mount.options, mount
        if mount.point in DEVICES:
            # A device can be written to all the same, but not its times and mode.
            assert {"noexec", "ro"} <= mount.options, mount
            continue
        assert "nodev" in mount.options, mount
        assert ("ro" in mount.options) is (mount.point != "/tmp"), mount
    (tmp,) = [one for one in mounts_of(idle_child(tier_a).pid) if one.point == "/tmp"]
    assert tmp.kind == "tmpfs"
    assert "noexec" in tmp.options
    size = f"size={CEILINGS.max_disk_bytes // 1024}k"
    assert {size, "nr_inodes=1024"} <= tmp.super_options


def test_root_holds_only_what_the_view_is_made_of(tier_a: ExecutorProcess) -> None:
    listed = value_of(
        tier_a,
        "import os\n{p: sorted(os.listdir(p)) for p in ('/', '/etc', '/dev', '/tmp', '/usr')}",
    )
    tops = {folder.split("/")[1] for folder in view_of_zygote()["folders"]}
    assert listed["/"] == sorted({"dev", "etc", "tmp", *tops})
    assert listed["/etc"] == ["passwd"]
    assert {f"/dev/{name}" for name in listed["/dev"]} == DEVICES
    assert listed["/tmp"] == sorted(
        Path(path).name for path in shown_in_tmp(view_of_zygote()["folders"])
    )


# Statements that try to reach a path that exists, with what they say when they do. They make
# no file: in the sandbox's own /tmp they could.
REACH = """
import os
def reached(path):
    how = []
    for name, attempt in {
        'stat': os.stat, 'list': os.listdir, 'read': lambda p: open(p, 'rb').read(1),
        'write': lambda p: open(p, 'r+b').close(), 'link': os.readlink,
        'make': lambda p: os.mkdir(p + '/made'),
    }.items():
        try:
            attempt(path)
        except OSError:
            pass
        else:
            how.append(name)
    return how
{path: how for path in paths if (how := reached(path))}
"""

OUTSIDE = (
    "/proc /proc/self/environ /proc/1/cmdline /sys /home /root /etc/shadow /etc/hosts /etc/ssl "
    "/etc/hostname /etc/machine-id /var /run /opt /srv /mnt /boot /bin /sbin /usr/bin /usr/sbin "
    "/dev/shm /dev/tty /dev/pts /dev/mem /dev/kmsg /dev/sda /dev/vda"
).split()


def test_nothing_of_the_host_is_in_the_view(tier_a: ExecutorProcess) -> None:
    installed = [*site.getsitepackages(), *sys.path[1:], str(Path.home()), sys.prefix]
    paths = [*OUTSIDE, str(ROOT), f"{ROOT}/codemode/config.py", *installed]
    stdlib = tuple(view_of_zygote()["folders"])
    # The standard library is on sys.path and in the view; /usr holds it. A home in /tmp
    # is not the sandbox's own /tmp.
    shown = {str(parent) for folder in stdlib for parent in Path(folder).parents} | {"/tmp"}
    secret = [path for path in paths if path not in shown and not path.startswith(stdlib)]
    assert len(secret) > len(OUTSIDE)
    assert value_of(tier_a, REACH, paths=secret) == {}


def test_no_installed_package_is_in_the_view(tier_a: ExecutorProcess) -> None:
    seen = value_of(
        tier_a,
        "import os\n"
        "[os.path.join(folder, name) for top in folders for folder, names, _ in os.walk(top)"
        " for name in names if name.endswith('-packages') and os.listdir(f'{folder}/{name}')]",
        folders=["/"],
    )
    assert seen == []
    found = value_of(
        tier_a,
        "import importlib.util\n[n for n in names if importlib.util.find_spec(n)]",
        names=["django", "grpc", "pydantic", "pytest", "codemode.executor", "django_codemode"],
    )
    assert found == []


@pytest.mark.parametrize("made", ["exposed", "hidden"])
def test_package_in_a_folder_of_the_view_is_hidden_unless_exposed(
    outside_tmp: Path, made: str
) -> None:
    needs_tier("A")
    packages = outside_tmp / "lib" / "python3.99" / "site-packages"
    (packages / "wanted").mkdir(parents=True)
    (packages / "secret.py").write_text("KEY = 1")
    (packages / "wanted" / "code.py").write_text("X = 1")
    exposed = [str(packages / "wanted")] if made == "exposed" else []
    script = (
        "import json, os, sys; paths, folders, exposed = map(json.loads, sys.argv[1:])\n"
        "sys.path += paths\n"
        "import encodings.idna\n"
        "from codemode.sandbox.lockdown import namespaces, view\n"
        "namespaces.enter()\n"
        "view.build(folders, exposed)\n"
        "print(json.dumps(sorted(\n"
        "    os.path.join(f, n) for f, _, ns in os.walk(folders[0]) for n in ns)))"
    )
    said = subprocess.check_output(
        [
            *(sys.executable, "-I", "-S", "-B", "-c", script, json.dumps(import_path())),
            *(json.dumps([str(outside_tmp / "lib")]), json.dumps(exposed)),
        ],
        env=CLEAN_ENVIRONMENT,
        timeout=100,
    )
    assert json.loads(said) == ([f"{exposed[0]}/code.py"] if exposed else [])


def test_files_can_be_read_but_not_changed(tier_a: ExecutorProcess) -> None:
    code = """
import json, os
refusals = []
for attempt in (
    lambda: open(json.__file__, 'a'),
    lambda: os.unlink(json.__file__),
    lambda: os.chmod(json.__file__, 0o777),
    lambda: os.mkdir(os.path.dirname(json.__file__) + '/x'),
    lambda: open('/etc/passwd', 'a'),
    lambda: open('/x', 'w'),
    lambda: os.mkdir('/dev/x'),
):
    try:
        attempt()
    except OSError as error:
        refusals.append(error.errno)
(refusals, open('/etc/passwd').read(), open(json.__file__).read(1) != '')
"""
    refusals, passwd, readable = value_of(tier_a, code)
    assert len(refusals) == 7
    assert set(refusals) <= {30, 13, 1}
    assert passwd == "sandbox:x:65534:65534::/tmp:/bin/false\n"
    assert readable


def test_landlock_alone_shows_no_content_of_the_host(
    tier_c: ExecutorProcess, tmp_path: Path
) -> None:
    planted = tmp_path / "secret"
    planted.write_text("s")
    planted.chmod(0o666)
    tmp_path.chmod(0o777)
    stdlib = tuple(view_of_zygote()["folders"])
    paths = [
        path
        for path in [*OUTSIDE, str(ROOT), __file__, str(tmp_path), str(planted)]
        if not path.startswith(stdlib)
    ]
    reached = value_of(tier_c, REACH, paths=paths)
    # That a file exists, and where a link leads, is a gap of this tier that is documented.
    assert {path: how for path, how in reached.items() if set(how) - {"stat", "link"}} == {}
    assert reached[str(planted)] == ["stat"]
    assert planted.read_text() == "s"
    assert sorted(tmp_path.iterdir()) == [planted]
