from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from codemode import ClientConfig, Codemode, ToolError, get_current_context, tool
from tests.codemode.integrations.agents import AGENTS, Agent
from tests.support.frameworks import OF_CREWAI, needs_frameworks
from tests.support.processes import ExecutorProcess

MARKS = {"crewai": OF_CREWAI}


@pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in AGENTS])
def agent(request: pytest.FixtureRequest) -> Agent:
    """Return an agent of each framework that is installed."""
    found = AGENTS[request.param]
    needs_frameworks(found.package)
    return found


class Rights:
    """A permission checker: the context lists the permissions."""

    def allows(self, tool: Any, context: Any) -> bool:
        return tool.permission in context.get("rights", ())


@pytest.fixture
def shop(executor: ExecutorProcess) -> Iterator[Codemode]:
    """Yield a facade with the tools of a shop."""

    @tool(name="orders.get", effects="reads")
    def get(order_id: int) -> dict[str, Any]:
        """Return an order."""
        return {"id": order_id, "total": 40}

    @tool(name="orders.refund", permission="refund")
    def refund(order_id: int) -> str:
        """Pay an order back."""
        return f"refunded {order_id}"

    @tool
    def fail() -> None:
        """Fail."""
        raise ToolError("the service is down")

    @tool
    def whoami() -> str:
        """Return the tenant and the thread."""
        return f"{(get_current_context() or {}).get('tenant_id')} in {threading.get_ident()}"

    with Codemode.from_client_config(ClientConfig(executor_url=executor.url)) as codemode:
        codemode.registry.permission_checker = Rights()
        for one in (get, refund, fail, whoami):
            codemode.registry.register_tool(None, one)
        yield codemode
