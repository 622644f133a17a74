# Code that a model could have written when asked for a year's turnover by month
# and currency, after refunds, and for its sum in euros. It runs in the executor:
# the functions it does not define are tools, and `year` is an input.
import asyncio
from collections import defaultdict
from decimal import Decimal

orders = []
page = 1
while batch := list_orders(page=page, page_size=50):
    orders += batch
    page += 1

sums = defaultdict(lambda: {"orders": 0, "turnover": Decimal(0), "refunded": Decimal(0)})
for order in orders:
    if order["placed_at"].year == year and order["status"] != "cancelled":
        group = sums[order["placed_at"].strftime("%Y-%m"), order["currency"]]
        group["orders"] += 1
        group["turnover"] += order["amount"]
        group["refunded"] += order["refunded"]

currencies = sorted({currency for _, currency in sums})
rates = dict(zip(currencies, await asyncio.gather(*map(get_rate, currencies))))

rows = []
for (month, currency), group in sorted(sums.items()):
    euros = (group["turnover"] - group["refunded"]) * rates[currency]
    rows.append({"month": month, "currency": currency, **group, "euros": euros})

result = {"merchant": merchant()["name"], "rows": rows, "total": sum(row["euros"] for row in rows)}
