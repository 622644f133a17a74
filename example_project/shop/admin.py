from __future__ import annotations

from django.contrib import admin

from shop.models import Customer, Merchant, Order, Refund

admin.site.register([Customer, Merchant, Order, Refund])
