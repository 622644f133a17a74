# Pay back 5.00 of the last shipped order of which as much is left.
from decimal import Decimal

orders, page = [], 1
while batch := list_orders(status="shipped", page=page):
    orders += batch
    page += 1
with_rest = [one for one in orders if one["amount"] >= one["refunded"] + 5]
order = with_rest[-1]
print("order", order["id"], "of", order["customer"])

paid = refund(
    order_id=order["id"], amount=Decimal("5.00"), reason="arrived broken"
)
paid | {"customer": order["customer"], "currency": order["currency"]}
