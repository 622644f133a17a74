"""Promises of the layout: which folder may import which, and how large a room may grow.

``python -m tests.test_layout`` prints modules, arrows, cycles and long modules.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tests.support.paths import ROOT

PACKAGES = ("codemode", "django_codemode")

# What each room may import from the others, besides itself. Rooms that are not named here are
# common ground: they may import nothing from Codemode.
MAY_IMPORT = {
    "codemode.wire": ("codemode.protos",),
    "codemode.values": ("codemode.errors.base",),
    "codemode.errors": (),
    "codemode._environment": (),
    "codemode._lazy": (),
    "codemode.config": ("codemode._environment", "codemode.errors.base"),
    "codemode.tools": (
        "codemode._lazy",
        "codemode._suggestions",
        "codemode.errors.base",
        "codemode.values",
    ),
    "codemode.catalogue": ("codemode.errors.base", "codemode.values", "codemode.tools"),
    "codemode.embedded": ("codemode.errors", "codemode.interpreter"),
    "codemode.core": (
        "codemode._suggestions",
        "codemode._version",
        "codemode.catalogue",
        "codemode.config",
        "codemode.embedded",
        "codemode.errors",
        "codemode.installed",
        "codemode.protos",
        "codemode.tools",
        "codemode.values",
        "codemode.wire",
    ),
    "codemode.testing": (
        "codemode.core",
        "codemode.errors",
        "codemode.tools",
        "codemode.values",
    ),
    "codemode.pytest_plugin": ("codemode.core", "codemode.testing"),
    "codemode.integrations": ("codemode.core", "codemode.errors", "codemode.tools"),
    "codemode.executor": (
        "codemode._version",
        "codemode.config",
        "codemode.errors.base",
        "codemode.interpreter",
        "codemode.protos",
        "codemode.values",
        "codemode.wire",
    ),
    "codemode.sandbox": (
        "codemode.errors.base",
        "codemode.values",
        "codemode.wire.constants",
        "codemode.wire.frames",
        "codemode.wire.zygote_records",
    ),
    "codemode.protos": (),
    "codemode.interpreter": (),
    "codemode.installed": (),
    "codemode._suggestions": (),
    "codemode._version": (),
}
# Imported only for type checkers.
UPWARDS = {
    ("codemode.errors.runs", "codemode.core.result"),
    ("codemode.tools", "codemode.catalogue.stubs"),
}
MOST_MODULES = {"django_codemode": 25}
# The rooms of the executor, from the innermost: each may import the rooms before it.
ROOMS_OF_EXECUTOR = ("host", "pool", "streams", "serving")
FORMER_PLACES = {
    "codemode.core.events": ("ExecutionCompleted",),
    "codemode.core.observers": ("Execution", "ExecutionObserver"),
    "codemode.core.registry": ("RuntimeContext", "get_current_context"),
    "codemode.executor.isolation": ("SECCOMP_PROFILE", "TIERS"),
    "codemode.executor.server": ("ExecutorServer",),
    "codemode.tools": ("make_tool", "render_stubs"),
    "codemode.tools.errors": ("ToolCallRefused", "ToolPermissionDenied"),
    "django_codemode.context": ("default_provider",),
    "django_codemode.payload": ("event_as_json", "result_as_json"),
    "django_codemode.playground.views": ("PlaygroundStreamView", "PlaygroundView"),
    "django_codemode.pytest_plugin": ("codemode",),
    "django_codemode.refusals": ("RefusalError",),
    "django_codemode.sse": ("stream_response",),
}


def arrows() -> dict[str, set[str]]:
    """Return what each module imports, including imports that are lazy or for type checkers."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    return {one: set(graph.find_modules_directly_imported_by(one)) for one in graph.modules}


def is_in(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the cycles; each one found is cut at one arrow before the search continues."""
    graph = {one: set(imported) for one, imported in graph.items()}
    found = []
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            cycle = error.args[1]
            found.append(cycle[:-1])
            graph[cycle[1]].discard(cycle[0])
        else:
            return found


def files() -> list[Path]:
    return [
        path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if not path.name.startswith("codemode_pb2")
    ]


def lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def folders() -> Counter[str]:
    return Counter(
        str(path.parent.relative_to(ROOT)) for path in files() if path.name != "__init__.py"
    )


def test_imports_go_one_way() -> None:
    wrong = []
    for one, imported in arrows().items():
        room = next((room for room in MAY_IMPORT if is_in(one, room)), None)
        if room is None:
            continue
        allowed = (room, *MAY_IMPORT[room])
        wrong += [
            f"{one} imports {other}"
            for other in imported
            if not any(is_in(other, prefix) for prefix in allowed) and (one, other) not in UPWARDS
        ]
    assert wrong == []


def test_rooms_of_the_executor_import_only_those_before_them() -> None:
    rooms = [f"codemode.executor.{room}" for room in ROOMS_OF_EXECUTOR]
    wrong = [
        f"{one} imports {other}"
        for place, room in enumerate(rooms)
        for one, imported in arrows().items()
        if is_in(one, room)
        for other in imported
        if is_in(other, "codemode.executor")
        and not any(is_in(other, before) for before in rooms[: place + 1])
    ]
    assert wrong == []


def test_the_app_imports_neither_the_executor_nor_the_sandbox() -> None:
    wrong = [
        f"{one} imports {other}"
        for one, imported in arrows().items()
        if is_in(one, "django_codemode")
        for other in imported
        if is_in(other, "codemode.executor") or is_in(other, "codemode.sandbox")
    ]
    assert wrong == []


def test_every_room_is_named_here() -> None:
    rooms = {".".join(one.split(".")[:2]) for one in arrows() if is_in(one, "codemode")}
    assert rooms - {"codemode"} == set(MAY_IMPORT)


def test_no_modules_import_each_other_in_a_cycle() -> None:
    assert cycles(arrows()) == []


def test_no_folder_has_too_many_modules() -> None:
    crowded = {
        folder: count for folder, count in folders().items() if count > MOST_MODULES.get(folder, 16)
    }
    assert crowded == {}


def test_no_module_is_too_long() -> None:
    assert [f"{path}: {lines(path)}" for path in files() if lines(path) > 400] == []


def test_packages_that_the_guest_loads_import_nothing() -> None:
    assert (ROOT / "codemode/wire/__init__.py").read_text("utf-8") == ""
    assert (ROOT / "codemode/sandbox/__init__.py").read_text("utf-8") == ""


def test_folders_of_tests_mirror_the_packages() -> None:
    """Except for two whole collections, each folder tests the room of the same name."""
    collections = {"codemode/sandbox/attacks", "codemode/sandbox/corpus"}
    rooms = {
        str(path.parent.relative_to(ROOT / "tests"))
        for package in PACKAGES
        for path in (ROOT / "tests" / package).rglob("*.py")
    }
    assert {room for room in rooms - collections if not (ROOT / room).is_dir()} == set()


def test_helpers_are_not_imported_from_tests() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for line in path.read_text("utf-8").splitlines()
        if re.match(r" *(from|import) tests\b.*\btest_", line)
    ]
    assert wrong == []


@pytest.mark.parametrize(("module", "names"), FORMER_PLACES.items(), ids=FORMER_PLACES)
def test_former_import_paths_still_work(module: str, names: tuple[str, ...]) -> None:
    found = importlib.import_module(module)
    assert [name for name in names if not hasattr(found, name)] == []


def main() -> None:
    """Print the measures of the layout."""
    graph = arrows()
    for folder, count in sorted(folders().items()):
        print(f"{count:4} modules in {folder}")
    print(f"{len(graph)} modules, {sum(map(len, graph.values()))} arrows")
    print(f"cycles: {cycles(graph) or 'none'}")
    long = sorted(((lines(path), path) for path in files() if lines(path) > 350), reverse=True)
    print("modules above 350 lines:", *(f"{path.relative_to(ROOT)} {n}" for n, path in long))


if __name__ == "__main__":
    main()
