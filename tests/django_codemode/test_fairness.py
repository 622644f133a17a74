"""The app lets the executor distinguish tenants, and never reveals who they are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.test import override_settings

from codemode import ExecutorBusyError
from codemode.executor.streams.admission import Admission, Slot
from django_codemode import get_codemode
from tests.support.callers import Callers
from tests.support.serving import serving


class TenantCallers(Callers):
    """Callers that execute as the app does, for the ``tenant_id`` of the context."""

    async def execute(self, tenant: str, code: str = "1", **options: object) -> None:
        try:
            with self.codemode.registry.context(tenant_id=tenant, user="u", secret="s"):
                await self.codemode.run_async(code)
        except ExecutorBusyError:
            self.busy[tenant] += 1
        else:
            self.order.append(tenant)


async def test_a_tenants_flood_does_not_refuse_another_tenant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys: list[str] = []
    acquire = Admission.acquire

    async def watched(self: Admission, key: str, *more: Any) -> Slot:
        keys.append(key)
        return await acquire(self, key, *more)

    monkeypatch.setattr(Admission, "acquire", watched)
    async with serving(max_concurrency=1, max_queued=5) as (plain, server):
        assert server.service is not None
        admission = server.service.admission
        with override_settings(CODEMODE={"EXECUTOR_URL": plain.client.url}):
            codemode = get_codemode()
            callers = TenantCallers(codemode)
            tasks = callers.start("acme", code="await gate()")
            await callers.gate.holds(1)
            tasks += callers.start("acme", count=6)
            async with asyncio.timeout(60):
                while admission.queued + callers.busy["acme"] < 6:
                    await asyncio.sleep(0.001)
            tasks += callers.start("zoo")
            async with asyncio.timeout(60):
                while callers.busy["acme"] < 2:
                    await asyncio.sleep(0.001)
            callers.gate.open()
            await asyncio.gather(*tasks)
            codemode.registry.unregister_tool("gate")
            await codemode.close_async()
    assert callers.busy == {"acme": 2}
    assert sorted(callers.order) == ["acme"] * 5 + ["zoo"]
    assert len(set(keys)) == 2
    assert all(len(key) == 64 and int(key, 16) for key in keys)  # an HMAC, not a name
