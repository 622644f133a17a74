"""The cost of a new sandbox's lock-down, layer by layer."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
from collections.abc import Iterator

from codemode.config import CEILINGS
from codemode.executor.host.clean_start import CLEAN_ENVIRONMENT, import_path
from codemode.executor.host.isolation import choose
from codemode.executor.host.work_folders import WorkFolder
from codemode.executor.pool.profiles import PROFILES
from codemode.interpreter import find_python
from tests.benchmarks.figure import Figure, Series, Target
from tests.benchmarks.floors import bare_forks

__all__ = ["measure"]

_GROUP = "lockdown"

# A zygote that forks, one after the other, children that lock themselves down and end. A child's
# steps before its layers are included: they warm up the memory that the layers touch.
_ZYGOTE = """
import gc, importlib, json, os, sys, time
settings = json.loads(sys.argv[1])
sys.path += settings["import_path"]
from codemode.sandbox.lockdown.boot import prepare
from codemode.sandbox.lockdown.layers import LAYERS, Boot
from codemode.sandbox.sharing import share_objects
from codemode.sandbox import child
for module in settings["modules"]:
    importlib.import_module(module)
prepared = prepare(settings["tier"], ())
share_objects()
handed = {"tier", "rlimits", "threads", "disk_bytes"}
for number in range(settings["count"]):
    boot = Boot(
        **{name: settings[name] for name in handed}, number=number, zygote_pid=os.getpid(),
        workdir=f"{settings['folder']}/{number}", memory_base=prepared.memory_base,
        readable=prepared.readable, landlock_fd=prepared.landlock_fd,
        filter_bytes=prepared.filter_bytes, highest_fd=prepared.highest_fd,
    )
    pid = prepared.fork()
    if pid == 0:
        child._arrange_descriptors(0, 1, boot)
        gc.enable()
        began, times = time.perf_counter(), [time.thread_time()]
        for layer in LAYERS[boot.tier]:
            layer(boot)
            times.append(time.thread_time())
        took = time.perf_counter() - began
        names = [layer.__name__ for layer in LAYERS[boot.tier]]
        os.write(1, json.dumps([names, took, times]).encode() + b"\\n")
        os._exit(0)
    os.waitpid(pid, 0)
"""


def measure(*, quick: bool) -> Iterator[Figure]:
    """Measure each layer, and all of them together, in children of the best available tier."""
    count = 30 if quick else 300
    isolation = asyncio.run(choose("unsafe", CEILINGS))
    settings = dataclasses.asdict(isolation.settings)
    folder = WorkFolder(settings["tier"])
    settings |= {
        "modules": PROFILES["default"].modules,
        "import_path": import_path(),
        "folder": str(folder.path),
        "count": count,
    }
    try:
        said = subprocess.run(
            [find_python(), "-I", "-S", "-B", "-c", _ZYGOTE, json.dumps(settings)],
            env=CLEAN_ENVIRONMENT,
            cwd="/",
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
    finally:
        folder.remove()
    children = [json.loads(line) for line in said.splitlines()]
    names = children[0][0]
    floor = bare_forks(count).milliseconds
    tier = f"tier {isolation.name}"
    yield Figure(
        group=_GROUP,
        name=f"lock-down of a sandbox, {tier}",
        unit="ms",
        series=Series.of([took for _, took, _ in children], scale=1e3),
        floor=floor,
        floor_of="bare fork",
    )
    yield Figure(
        group=_GROUP,
        name="its CPU",
        unit="ms",
        series=Series.of([times[-1] - times[0] for *_, times in children], scale=1e3),
        targets=(Target(statistic="p50", most=0.6),),
    )
    for index, name in enumerate(names):
        spent = [times[index + 1] - times[index] for *_, times in children]
        yield Figure(
            group=_GROUP, name=f"CPU of {name}", unit="ms", series=Series.of(spent, scale=1e3)
        )
