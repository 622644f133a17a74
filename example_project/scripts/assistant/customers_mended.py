# The argument is called country.
customers = await find_customers(country="DE")
customers.sort(key=lambda customer: customer["orders"], reverse=True)
customers[:5]
