from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path

import psutil
import pytest
from django.apps import apps
from django.core.management import call_command

import django_codemode
from codemode.errors import ToolRegistrationError
from django_codemode import SYSTEM, get_codemode, register_tool
from django_codemode.apps import CodemodeConfig
from django_codemode.shared import shared
from tests.support.paths import ROOT
from tests.support.processes import wait_until


def config() -> CodemodeConfig:
    found = apps.get_app_config("django_codemode")
    assert isinstance(found, CodemodeConfig)
    return found


def run_python(source: str, *folders: Path) -> str:
    """Run source in a new process and return what it prints."""
    path = os.pathsep.join(map(str, [ROOT, ROOT / "example_project", *folders]))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(source)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ready_registers_the_decorated_tools_of_every_app() -> None:
    tools = config().registry.tools

    assert {"list_orders", "merchant", "testapp.slugs", "testapp.aslugs"} <= tools.keys()
    assert [name for name in tools if "list_orders" in name] == ["list_orders"]


def test_ready_twice_changes_nothing() -> None:
    before = config().registry.tools
    extensions = config().registry.extensions
    threads = list(extensions.pool_housekeeping), list(extensions.thread_finalizers)

    config().ready()

    assert dict(config().registry.tools) == dict(before)
    assert (extensions.pool_housekeeping, extensions.thread_finalizers) == threads


def test_there_is_one_codemode_per_process() -> None:
    assert config().codemode is get_codemode() is shared.codemode
    assert config().client is get_codemode().client
    assert config().registry is get_codemode().registry


def test_threads_that_use_it_first_at_once_get_the_same_codemode() -> None:
    shared.close()
    start = threading.Barrier(16)

    def first_use(_number: int) -> int:
        start.wait(60)
        return id(get_codemode())

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(first_use, range(16)))) == 1


def test_register_tool_works_at_any_time_and_refuses_a_taken_name() -> None:
    def shout(text: str) -> str:
        return text.upper()

    register_tool("testapp_shout", shout)
    try:
        assert get_codemode().run("testapp_shout('a')").value == "A"
        with pytest.raises(ToolRegistrationError, match="already registered"):
            register_tool("testapp_shout", lambda: None)
    finally:
        shared.registry.unregister_tool("testapp_shout")


def test_system_is_one_immutable_marker() -> None:
    assert repr(SYSTEM) == "django_codemode.SYSTEM"
    assert pickle.loads(pickle.dumps(SYSTEM)) is SYSTEM
    assert copy.deepcopy(SYSTEM) is SYSTEM
    assert type(SYSTEM)() is SYSTEM
    with pytest.raises(AttributeError):
        SYSTEM.name = "root"


def test_all_of_the_package_has_its_four_names() -> None:
    assert django_codemode.__all__ == ["SYSTEM", "get_codemode", "register_tool", "run_atomic"]


def test_setting_up_django_starts_nothing_and_loads_no_grpc() -> None:
    out = run_python(
        """
        import os, sys, threading
        before = set(os.listdir("/proc/self/fd"))
        import django
        from django.conf import settings
        settings.configure(
            SECRET_KEY="x", INSTALLED_APPS=["django_codemode", "shop", "tests.testapp"]
        )
        django.setup()
        from django.db import connections
        connected = [one for one in connections.all() if one.connection is not None]
        children = open(f"/proc/self/task/{os.getpid()}/children").read().split()
        print(
            sorted(set(os.listdir("/proc/self/fd")) - before), children,
            threading.active_count(), connected, "grpc" in sys.modules,
        )
        """
    )

    assert out.split() == ["[]", "[]", "1", "[]", "False"]


def write_app(folder: Path, name: str, **modules: str) -> None:
    """Write an app of the given modules into a folder."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    for module, source in modules.items():
        (folder / name / f"{module}.py").write_text(textwrap.dedent(source))


def test_importing_every_module_and_checking_makes_no_query() -> None:
    out = run_python(
        """
        import importlib.util, os, pkgutil
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        import django
        from django.db.backends.sqlite3.base import DatabaseWrapper
        def refuse(self, *args, **kwargs):
            raise AssertionError("the database was asked")
        DatabaseWrapper.connect = refuse
        django.setup()
        import django_codemode
        modules = list(pkgutil.walk_packages(django_codemode.__path__, "django_codemode."))
        without_mcp = importlib.util.find_spec("mcp") is None
        for module in modules:
            if without_mcp and module.name.startswith("django_codemode.mcp."):
                continue
            if module.name != "django_codemode.pytest_plugin":
                importlib.import_module(module.name)
        from django.core.checks import run_checks
        print(len(modules) > 30, run_checks(include_deployment_checks=True, tags=["codemode"]))
        """
    )
    assert out.splitlines()[-1] == "True []"


@pytest.mark.parametrize("order", ["'django_codemode', 'early'", "'early', 'django_codemode'"])
def test_any_app_may_register_tools_in_its_ready_in_any_order(order: str, tmp_path: Path) -> None:
    write_app(
        tmp_path,
        "early",
        apps="""
        from django.apps import AppConfig

        def answer() -> int:
            return 42

        class EarlyConfig(AppConfig):
            name = "early"

            def ready(self):
                import django_codemode

                django_codemode.register_tool("answer", answer)
        """,
    )

    out = run_python(
        f"""
        import django
        from django.conf import settings
        settings.configure(SECRET_KEY="x", INSTALLED_APPS=[{order}])
        django.setup()
        import django_codemode
        with django_codemode.get_codemode() as codemode:
            print(codemode.run("answer()").value)
        """,
        tmp_path,
    )

    assert out == "42\n"


def test_a_project_without_the_app_in_its_settings_gets_the_fix() -> None:
    out = run_python(
        """
        import django
        from django.conf import settings
        settings.configure(SECRET_KEY="x")
        django.setup()
        import django_codemode
        from codemode.errors import ConfigurationError
        try:
            django_codemode.get_codemode()
        except ConfigurationError as error:
            print(error)
        """
    )

    assert "add 'django_codemode' to INSTALLED_APPS" in out


def test_a_forked_child_builds_its_own_codemode_with_the_same_tools() -> None:
    out = run_python(
        """
        import os, sys
        import django
        from django.conf import settings
        settings.configure(SECRET_KEY="x", INSTALLED_APPS=["django_codemode", "tests.testapp", "shop"])
        django.setup()
        from django_codemode.shared import shared
        parent = shared.codemode
        assert parent.run("testapp.lazy()").ok
        pid = os.fork()
        if pid == 0:
            child = shared.codemode
            ok = child is not parent and child.registry is parent.registry
            ok = ok and child.run("testapp.lazy()").ok
            ok = ok and child.client.embedded.pid != parent.client.embedded.pid
            shared.close()
            os._exit(0 if ok else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        assert parent.run("1").ok
        shared.close()
        """
    )

    assert out == "0\n"


def test_an_object_that_only_inherits_the_mark_is_not_a_tool(tmp_path: Path) -> None:
    write_app(
        tmp_path,
        "inherits",
        codemode_tools="""
        from django.utils.functional import SimpleLazyObject

        from codemode import tool

        @tool(name="base")
        class Base:
            def run(self) -> int:
                return 1

        class Derived(Base):
            pass

        def explode():
            raise AssertionError("evaluated")

        instance = Base()
        lazy = SimpleLazyObject(explode)
        """,
    )

    out = run_python(
        """
        import django
        from django.conf import settings
        settings.configure(SECRET_KEY="x", INSTALLED_APPS=["inherits", "django_codemode"])
        django.setup()
        from django_codemode.shared import shared
        print(list(shared.registry.tools))
        """,
        tmp_path,
    )

    assert out == "['base']\n"


BROKEN_MODULES = {
    "import no_such_module": "ModuleNotFoundError: No module named 'no_such_module'",
    "x = 1\ndef f(:\n    pass": "SyntaxError: invalid syntax",
    "raise LookupError('no')": "LookupError: no",
}


@pytest.mark.parametrize("source", BROKEN_MODULES)
def test_a_broken_tool_module_is_reported_and_stops_only_executions(
    source: str, tmp_path: Path
) -> None:
    write_app(tmp_path, "broken", codemode_tools=source)
    write_app(
        tmp_path,
        "sound",
        codemode_tools="""
        from codemode import tool

        @tool
        def answer() -> int:
            "Give the answer."
            return 42
        """,
    )

    out = run_python(
        """
        import logging
        logging.disable()
        import django
        from django.conf import settings
        settings.configure(SECRET_KEY="x", INSTALLED_APPS=["broken", "django_codemode", "sound"])
        django.setup()
        from django.core.checks import run_checks
        print(*(f"{one.id} {one.msg}" for one in run_checks(tags=["codemode"]) if "E" in one.id))
        from django_codemode import get_codemode
        from django_codemode.shared import shared
        print(list(shared.registry.tools))
        try:
            get_codemode()
        except ValueError as error:
            print(error)
        """,
        tmp_path,
    )

    told, tools, refused = out.splitlines()
    place = tmp_path / "broken" / "codemode_tools.py"
    line = 2 if "def" in source else 1
    problem = (
        f"broken.codemode_tools cannot be imported: {BROKEN_MODULES[source]} ({place}, line {line})"
    )
    assert told == f"django_codemode.E005 {problem}"
    assert tools == "['answer']"
    assert refused == (
        f"tools of this project cannot be loaded, so that no code is executed: {problem}"
    )


def test_an_impossible_tool_or_a_taken_name_is_reported(tmp_path: Path) -> None:
    source = """
    from codemode import tool

    @tool
    def answer() -> int:
        "Give the answer."
        return 42
    """
    write_app(tmp_path, "first", codemode_tools=source)
    write_app(tmp_path, "second", codemode_tools=source)
    write_app(
        tmp_path,
        "third",
        codemode_tools="""
        from codemode import tool

        @tool
        def numbers():
            yield 1

        @tool
        def sound() -> int:
            "Be found although another is not."
            return 1
        """,
    )

    out = run_python(
        """
        import logging
        logging.disable()
        import django
        from django.conf import settings
        apps = ["first", "second", "third", "django_codemode"]
        settings.configure(SECRET_KEY="x", INSTALLED_APPS=apps)
        django.setup()
        from django.core.checks import run_checks
        for one in run_checks(tags=["codemode"]):
            if "E" in one.id:
                print(one.id, one.msg)
        from django_codemode.shared import shared
        print(list(shared.registry.tools))
        """,
        tmp_path,
    )

    duplicate, generator, tools = out.splitlines()
    assert duplicate.startswith(
        "django_codemode.E006 second.codemode_tools: tool 'answer' is already registered, from "
        "first.codemode_tools.answer"
    )
    assert generator.startswith(
        "django_codemode.E006 third.codemode_tools: tool 'numbers' is a generator"
    )
    assert tools == "['answer', 'sound']"


def test_a_broken_tool_module_is_logged_with_its_traceback(tmp_path: Path) -> None:
    write_app(tmp_path, "broken", codemode_tools="import no_such_module")
    out = run_python(
        """
        import logging, sys
        logging.basicConfig(stream=sys.stdout)
        import django
        from django.conf import settings
        settings.configure(SECRET_KEY="x", INSTALLED_APPS=["broken", "django_codemode"])
        django.setup()
        """,
        tmp_path,
    )
    assert "ERROR:django_codemode:No tool: broken.codemode_tools cannot be" in out
    assert "Traceback (most recent call last)" in out


def test_runserver_starts_once_a_broken_tool_module_is_fixed(tmp_path: Path) -> None:
    write_app(tmp_path, "broken", codemode_tools="import no_such_module")
    (tmp_path / "own_settings.py").write_text(
        "SECRET_KEY = 'x'\nDEBUG = True\nROOT_URLCONF = 'own_settings'\nurlpatterns = []\n"
        "INSTALLED_APPS = ['broken', 'django_codemode']\n"
        "MIDDLEWARE = ['django_codemode.middleware.CodemodeMiddleware']\n"
    )
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "django", "runserver", "127.0.0.1:0"],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(map(str, [tmp_path, ROOT])),
                "PYTHONUNBUFFERED": "1",
                "DJANGO_SETTINGS_MODULE": "own_settings",
            },
            stdout=output,
            stderr=output,
        )
    try:
        assert wait_until(lambda: "django_codemode.E005" in log.read_text(), 60), log.read_text()
        assert "Starting development server" not in log.read_text()
        # The reloader notices only changes since its first look at the file, whose moment is
        # unknown.
        for patience in (2, 10, 60):
            time.sleep(1.1)
            (tmp_path / "broken" / "codemode_tools.py").write_text("")
            if wait_until(lambda: "Quit the server" in log.read_text(), patience):
                break
        assert "Quit the server" in log.read_text()
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.wait(60)


@pytest.mark.django_db
def test_the_projects_data_can_be_dumped_although_a_model_has_no_table() -> None:
    for everything in (False, True):
        out = StringIO()
        call_command("dumpdata", "django_codemode", use_base_manager=everything, stdout=out)
        assert json.loads(out.getvalue()) == []


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "django_codemode", check_changes=True, dry_run=True)
