from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from shop.models import Customer, Merchant, Order, Refund
from shop.seed import seed


class Command(BaseCommand):
    help = "Fill an empty shop with merchants, customers, orders and refunds."

    def handle(self, **options: Any) -> None:
        if not seed():
            self.stdout.write("The shop has data already; nothing was changed.")
            return
        counts = ", ".join(
            f"{model._default_manager.count()} {model._meta.verbose_name_plural}"
            for model in (Merchant, Customer, Order, Refund)
        )
        self.stdout.write(f"The shop now has {counts}.")
