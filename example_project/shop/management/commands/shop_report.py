from __future__ import annotations

import os
import time
from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from codemode import ExecutorClient
from django_codemode import get_codemode
from shop.database import prepare_database
from shop.models import Merchant
from shop.report import SCRIPT, Report, render, run_report
from shop.seed import YEAR


class Command(BaseCommand):
    help = "Print a merchant's turnover by month and currency, computed by code in an executor."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--merchant", default="nordlicht", help="slug of the merchant")
        parser.add_argument("--year", type=int, default=YEAR, help=f"year, {YEAR} by default")

    def handle(self, *, merchant: str, year: int, **options: Any) -> None:
        prepare_database()
        if not Merchant.objects.filter(slug=merchant).exists():
            slugs = ", ".join(Merchant.objects.values_list("slug", flat=True))
            raise CommandError(f"There is no merchant {merchant!r}; there are {slugs}.")

        begin = time.perf_counter()
        result = run_report(merchant, year)
        whole_ms = (time.perf_counter() - begin) * 1000
        if result.error is not None:
            raise CommandError(
                f"The script {result.status}: {result.error.message}\n{result.error.traceback}"
            )

        report: Report = result.value
        self.stdout.write(f"{report['merchant']}, {year}: turnover after refunds\n\n")
        for line in render(report):
            self.stdout.write(line)
        calls = Counter(call.name for call in result.tool_calls)
        names = ", ".join(f"{name} x {number}" for name, number in sorted(calls.items()))
        code_ms = result.usage.wall_seconds * 1000
        self.stdout.write(
            f"\n{SCRIPT.name} made {calls.total()} tool calls: {names}.\n"
            f"It ran for {code_ms:.0f} ms; with starting the executor, that took "
            f"{whole_ms:.0f} ms.\n"
            f"{_where(get_codemode().client)}\n"
            f"Isolation of the code: {result.isolation}."
        )


def _where(client: ExecutorClient) -> str:
    executor = client.embedded
    place = f"process {executor.pid}" if executor is not None else client.url
    return f"The executor was {place}; Django is process {os.getpid()}."
