# Turnover of 2025 by month, in euros, after refunds.
import asyncio
from collections import defaultdict
from decimal import Decimal

orders, page = [], 1
while batch := list_orders(page=page, page_size=50):
    orders += batch
    page += 1

currencies = sorted({order["currency"] for order in orders})
rates = await asyncio.gather(*map(get_rate, currencies))
in_euros = dict(zip(currencies, rates))

months = defaultdict(lambda: {"orders": 0, "euros": Decimal(0)})
for order in orders:
    if order["status"] != "cancelled":
        month = months[order["placed_at"].strftime("%Y-%m")]
        month["orders"] += 1
        net = order["amount"] - order["refunded"]
        month["euros"] += net * in_euros[order["currency"]]

print(merchant()["name"], "has", len(orders), "orders in", *currencies)
[
    {"month": name, **sums, "euros": round(sums["euros"], 2)}
    for name, sums in sorted(months.items())
]
