"""The example with its settings for deployment, as a process of its own runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.processes import ExecutorProcess

# A whole deployment, except for the server and the proxy that terminates TLS.
REQUESTS = """
import faulthandler
import json
import django

faulthandler.dump_traceback_later(100, exit=True)  # before the test's own end, which shows nothing

django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from shop.models import Order
from shop.seed import seed

call_command("migrate", verbosity=0)
seed()
client = Client(headers={"host": "shop.example"})
client.force_login(User.objects.create_superuser("root"))
seen = {}
for merchant in ("prairie", "kiyomizu"):
    answer = client.post(
        "/codemode/execute/",
        {"code": "sorted(order['id'] for order in list_orders(page_size=50))"},
        content_type="application/json",
        headers={"X-Merchant": merchant},
        secure=True,
    )
    orders = Order.objects.filter(merchant__slug=merchant).order_by("placed_at", "pk")[:50]
    expected = sorted(orders.values_list("pk", flat=True))
    seen[merchant] = [answer.json(), expected]
print(json.dumps(seen))
"""


@pytest.mark.no_retry
def test_code_sees_the_orders_of_the_requests_merchant_alone(tmp_path: Path) -> None:
    # A copy, because the project's database is a file in its folder.
    project = shutil.copytree(
        ROOT / "example_project", tmp_path / "project", ignore=shutil.ignore_patterns("*.sqlite3")
    )
    key = "k" * 40 + "0123456789"
    with ExecutorProcess(environment={"CODEMODE_EXECUTOR_API_KEY": key}) as executor:
        done = subprocess.run(
            [sys.executable, "-c", REQUESTS],
            cwd=project,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "DJANGO_SETTINGS_MODULE": "config.production",
                "SECRET_KEY": key,
                "ALLOWED_HOSTS": "shop.example",
                "CODEMODE_EXECUTOR_URL": executor.url,
                "CODEMODE_EXECUTOR_API_KEY": key,
            },
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    for answer, expected in seen.values():
        assert answer["status"] == "completed", answer
        assert answer["value"] == expected
    assert seen["prairie"][1] != seen["kiyomizu"][1]
