"""The limits that an executor grants by its configuration, and configurations that it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from codemode import ConfigurationError, ExecutorConfig, Limits
from codemode.config import CEILINGS
from tests.support.serving import serving


@pytest.mark.parametrize(
    "name", sorted(name for name in Limits.model_fields if getattr(Limits(), name) is not None)
)
def test_default_above_its_ceiling_is_refused_naming_both(name: str) -> None:
    ceiling = getattr(CEILINGS, name)
    given: dict[str, Any] = {"limits": {name: ceiling + 1}}
    with pytest.raises(ConfigurationError, match=rf"limits\.{name}=.* ceilings\.{name}="):
        ExecutorConfig.parse(given)
    with pytest.raises(ConfigurationError, match=rf"limits\.{name}=.* ceilings\.{name}="):
        ExecutorConfig.parse({"ceilings": {name: 1}, "limits": {name: 2}})
    assert ExecutorConfig.parse({"limits": {name: ceiling}}).limits != Limits() or (
        ceiling == getattr(Limits(), name)
    )


def test_ceilings_of_a_mapping_override_the_usual_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = CEILINGS.model_copy(update={"max_threads": 77})
    assert ExecutorConfig.parse({"ceilings": {"max_threads": 77}}).ceilings == wanted
    monkeypatch.setenv("CODEMODE_EXECUTOR_CEILINGS__MAX_THREADS", "77")
    assert ExecutorConfig.from_env().ceilings == wanted
    assert ExecutorConfig(ceilings=Limits(max_threads=77)).ceilings == Limits(max_threads=77)


async def test_cpu_ceiling_below_the_timeout_is_reported_as_the_cpu_limit() -> None:
    async with serving(ceilings={"max_cpu_seconds": 1}) as (codemode, _):
        result = await codemode.run_async("while True: pass", execution_timeout=300)
        assert (result.status, result.error and result.error.type) == ("limit", "CpuLimit")
        assert "max_cpu_seconds is 1" in str(result.error)


@pytest.mark.parametrize("key", ["", " ", "\n"])
def test_blank_key_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match="api_key: .*has 0 characters"):
        ExecutorConfig.parse({"api_key": key})
