"""An executor in a process of its own, with layers left out: TIER [LAYER ...]."""

from __future__ import annotations

import asyncio
import sys
from typing import cast

from codemode.config import Tier
from tests.codemode.sandbox.attacks.battlefield import serving

__all__: list[str] = []


async def _serve(tier: Tier, without: list[str]) -> None:
    async with serving(tier, without) as (_, server):
        print(server.addresses[0], flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(cast(Tier, sys.argv[1]), sys.argv[2:]))
