"""The packages that a sandbox has preloaded and may import: chosen per execution, and exposed by
configuration.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from codemode import ClientConfig, Codemode, ConfigurationError
from codemode.config import Tier
from codemode.core.events import ExecutionCompleted
from codemode.errors import ExecutorConnectionError, ExecutorRequestError
from codemode.executor.pool import profiles
from codemode.executor.pool.profiles import PROFILES, Profile
from tests.support.hosts import needs_tier
from tests.support.marks import deep_except
from tests.support.processes import ExecutorProcess
from tests.support.serving import serving

LOADED = "import sys\nsorted({'numpy', 'pandas', 'json'} & set(sys.modules))"
TIERS: tuple[Tier, ...] = ("A", "B", "C", "unsafe")


@pytest.fixture(params=deep_except(TIERS, "A"))
def tier(request: pytest.FixtureRequest) -> Tier:
    tier: Tier = request.param
    needs_tier(tier)
    return tier


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Yield a folder that sandboxes of every tier may see, below the parameter if any."""
    parent = getattr(request, "param", "/var/tmp")
    with tempfile.TemporaryDirectory(prefix="cm-test-", dir=parent) as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


async def test_profile_is_chosen_per_execution() -> None:
    async with serving() as (codemode, _):
        assert (await codemode.run_async(LOADED)).value == ["json"]
        assert (await codemode.run_async(LOADED, profile="data")).value == [
            *("json", "numpy", "pandas")
        ]
        assert (await codemode.run_async(LOADED)).value == ["json"]
        assert "pandas" in await codemode.execute_async(LOADED, profile="data")
        result = await codemode.client.execute_async(LOADED, profile="data")
        assert "pandas" in result.value
        *_, last = [event async for event in codemode.stream(LOADED, profile="data")]
        assert isinstance(last, ExecutionCompleted)
        assert "pandas" in last.result.value
        async with codemode.session(profile="data") as session:
            assert "pandas" in (await session.run_async(LOADED)).value


def test_profile_is_chosen_by_threads_and_by_the_clients_configuration(
    executor: ExecutorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Codemode.from_client_config(ClientConfig(executor_url=executor.url)) as codemode:
        assert "pandas" in codemode.execute(LOADED, profile="data")
        assert "pandas" in codemode.run(LOADED, profile="data").value
        assert "pandas" in codemode.client.execute(LOADED, profile="data").value
        with codemode.session(profile="data") as session:
            assert "pandas" in session.run(LOADED).value
    monkeypatch.setenv("CODEMODE_PROFILE", "data")
    with Codemode.from_client_config(ClientConfig.from_env(executor_url=executor.url)) as codemode:
        assert "pandas" in codemode.execute(LOADED)
        assert "pandas" not in codemode.execute(LOADED, profile="default")


def test_failure_inside_a_package_shows_the_codes_own_lines_only(
    executor: ExecutorProcess,
) -> None:
    code = "import pandas\ndef f(frame):\n    return frame['nope']\nf(pandas.DataFrame())"
    with Codemode.from_client_config(ClientConfig(executor_url=executor.url)) as codemode:
        error = codemode.run(code, profile="data").error
    assert error is not None
    assert (error.type, error.line, error.source_line) == (
        "KeyError",
        3,
        "    return frame['nope']",
    )
    assert error.traceback.count('File "') == error.traceback.count('File "<code>"') == 2


async def test_unknown_profile_is_refused_with_those_that_are_offered() -> None:
    async with serving() as (codemode, _):
        with pytest.raises(
            ExecutorRequestError, match="no profile 'math'; this executor has: data, default"
        ):
            await codemode.run_async("1", profile="math")


async def test_profile_is_not_offered_where_its_packages_are_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = Profile(name="graph", modules=("networkz",), distributions=("networkz", "numpy"))
    monkeypatch.setitem(PROFILES, "graph", missing)
    async with serving() as (codemode, _):
        assert set((await codemode.client.info_async()).profiles) == {"default", "data"}
        with pytest.raises(
            ExecutorRequestError,
            match="'graph' needs networkz and numpy, which are not installed .* has: data, default",
        ):
            await codemode.run_async("1", profile="graph")
        with pytest.raises(ConfigurationError, match="warm_profiles: the profile 'graph' needs"):
            async with serving(warm_profiles=("graph",)):
                pytest.fail("it serves")


async def test_profile_starts_once_on_its_first_request() -> None:
    async with serving() as (codemode, server):
        with pytest.raises(KeyError):
            server.pools["data"]
        before = psutil.Process().children()
        results = await asyncio.gather(
            *(codemode.run_async("6 * 7", profile="data") for _ in range(5))
        )
        assert [result.value for result in results] == [42] * 5
        (zygote,) = server.pools["data"].zygote_pids()
        started = set(psutil.Process().children()) - set(before)
        assert [process.pid for process in started] == [zygote]


async def test_warm_profile_starts_with_the_executor() -> None:
    async with serving(warm_profiles=("data",)) as (codemode, server):
        assert server.pools["data"].serving
        assert "pandas" in await codemode.execute_async(LOADED, profile="data")
        with pytest.raises(KeyError):
            server.pools["default"]


@pytest.mark.parametrize(
    "options, environment",
    [
        (("--warm-profile", "default", "--warm-profile", "data"), {}),
        ((), {"CODEMODE_EXECUTOR_WARM_PROFILES": "default, data"}),
    ],
)
def test_warm_profiles_are_an_option_and_a_variable(
    options: tuple[str, ...], environment: dict[str, str]
) -> None:
    with ExecutorProcess("--tier", "unsafe", *options, environment=environment) as process:
        assert len(psutil.Process(process.pid).children()) == 2, "a zygote each"


async def test_profile_that_does_not_start_fails_only_its_own_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = Profile(name="broken", modules=("no_such_module",))
    monkeypatch.setitem(PROFILES, "broken", broken)
    async with serving() as (codemode, server):
        with pytest.raises(ExecutorConnectionError, match="the profile 'broken' does not start"):
            await codemode.run_async("1", profile="broken")
        assert server.pools.serving
        assert (await codemode.run_async("6 * 7")).value == 42
        # It is tried again at the next request.
        mended = Profile(name="broken", modules=("json",))
        monkeypatch.setitem(PROFILES, "broken", mended)
        assert (await codemode.run_async("6 * 7", profile="broken")).value == 42


async def test_no_library_has_started_a_thread_before_the_forks() -> None:
    async with serving(warm_profiles=("data",)) as (_, server):
        (zygote,) = server.pools["data"].zygote_pids()
        assert psutil.Process(zygote).num_threads() == 1
        environment = psutil.Process(zygote).environ()
        assert environment["OPENBLAS_NUM_THREADS"] == "1"


async def test_preloaded_random_numbers_differ_between_children(tier: Tier) -> None:
    code = (
        "import numpy as np\n[float(np.random.random()), float(np.random.default_rng().random())]"
    )
    async with serving(tier, warm_profiles=("data",)) as (codemode, _):
        drawn = [(await codemode.run_async(code, profile="data")).value for _ in range(6)]
        for index in range(2):
            assert len({numbers[index] for numbers in drawn}) == 6


def _package(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(text)
    (folder / name / "deep.py").write_text("DEEP = 1")


IMPORT = """
import os
import rates
import rates.deep
refused = []
for attempt in (
    lambda: open(rates.__file__, 'a'),
    lambda: os.mkdir(os.path.join(packages, 'made')),
    lambda: open(beside).read(),
    lambda: os.listdir(os.path.dirname(beside)),
):
    try:
        attempt()
    except OSError:
        refused.append(True)
result = [rates.KEY, rates.deep.DEEP, len(refused)]
"""


@pytest.mark.parametrize(
    "folder, profile",
    [
        pytest.param("/var/tmp", "default", marks=pytest.mark.deep),
        pytest.param("/tmp", "default", marks=pytest.mark.deep),
        ("/tmp", "data"),
    ],
    indirect=["folder"],
)
async def test_folder_of_packages_is_importable_and_nothing_beside_it(
    tier: Tier, folder: Path, profile: str
) -> None:
    _package(folder / "packages", "rates", "KEY = 'rate'")
    _package(folder / "beside", "secret", "KEY = 1")
    async with serving(tier, packages=(folder / "packages",)) as (codemode, _):
        inputs = {
            "packages": str(folder / "packages"),
            "beside": str(folder / "beside" / "secret" / "__init__.py"),
        }
        result = await codemode.run_async(IMPORT, inputs=inputs, profile=profile)
        refused = 0 if tier == "unsafe" else 4
        assert result.value == ["rate", 1, refused], result.error
    assert (tier == "unsafe") is (folder / "packages" / "made").exists()


async def test_link_to_a_folder_of_packages_shows_that_folder(tier: Tier, folder: Path) -> None:
    _package(folder / "releases" / "v1", "rates", "KEY = 'rate'")
    (folder / "current").symlink_to("releases/v1")
    async with serving(tier, packages=(folder / "current",)) as (codemode, _):
        result = await codemode.run_async("import rates\nrates.KEY")
        assert result.value == "rate", result.error


async def test_packages_never_hide_the_standard_library(folder: Path) -> None:
    (folder / "json.py").write_text("raise SystemExit")
    (folder / "wave.py").write_text("raise SystemExit")
    async with serving(packages=(folder,)) as (codemode, _):
        assert (await codemode.run_async("import json, wave\njson.dumps(1)")).value == "1"


@pytest.mark.parametrize("way", ["option", "variable"])
def test_packages_are_an_option_and_a_variable(folder: Path, way: str) -> None:
    one, other = folder / "one", folder / "other"
    _package(one, "rates", "KEY = 'rate'")
    _package(other, "taxes", "KEY = 'tax'")
    options = ("--packages", str(one), "--packages", str(other)) if way == "option" else ()
    environment = {"CODEMODE_EXECUTOR_PACKAGES": f"{one}:{other}"} if way == "variable" else {}
    with (
        ExecutorProcess(*options, environment=environment) as process,
        Codemode.from_client_config(ClientConfig(executor_url=process.url)) as codemode,
    ):
        assert codemode.run("import rates, taxes\nrates.KEY + taxes.KEY").value == "ratetax"


def test_packages_reach_an_embedded_executor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _package(folder / "packages", "rates", "KEY = 'rate'")
    monkeypatch.setenv("CODEMODE_EXECUTOR_PACKAGES", str(folder / "packages"))
    with Codemode() as own:
        assert own.run("import rates\nrates.KEY").value == "rate"
        assert "pandas" in own.run(LOADED, profile="data").value


@pytest.mark.parametrize("made", ["nothing", "a file", "a project", "/", "relative"])
async def test_packages_must_be_a_folder_of_packages_alone(folder: Path, made: str) -> None:
    path = folder / "packages"
    if made == "a file":
        path.write_text("")
    elif made == "a project":
        path.mkdir()
        (path / "manage.py").write_text("")
    elif made == "/":
        path = Path("/")
    elif made == "relative":
        path = Path("packages")
    with pytest.raises(ConfigurationError, match=f"packages: '{path}' .*pip install --target"):
        async with serving(packages=(path,)):
            pytest.fail("it serves")


def test_default_profile_has_no_package() -> None:
    assert profiles.PROFILES[profiles.DEFAULT].distributions == ()
