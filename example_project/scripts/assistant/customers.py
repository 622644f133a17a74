# The customers in Germany who order most often.
customers = await find_customers(land="DE")
customers.sort(key=lambda customer: customer["orders"], reverse=True)
customers[:5]
