"""A shop that several merchants share: each row belongs to one merchant."""

from __future__ import annotations

from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models

CENT = Decimal("0.01")


class Merchant(models.Model):
    """A tenant. A user who acts for it sees its rows and no others."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=80)
    currency = models.CharField(max_length=3)

    def __str__(self) -> str:
        return self.name


class Customer(models.Model):
    merchant = models.ForeignKey(Merchant, on_delete=models.CASCADE, related_name="customers")
    name = models.CharField(max_length=80)
    email = models.EmailField()
    country = models.CharField(max_length=2)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["merchant", "email"], name="one_customer_per_email")
        ]

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    class Status(models.TextChoices):
        OPEN = "open"
        PAID = "paid"
        SHIPPED = "shipped"
        CANCELLED = "cancelled"

    merchant = models.ForeignKey(Merchant, on_delete=models.CASCADE, related_name="orders")
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="orders")
    placed_at = models.DateTimeField(db_index=True)
    currency = models.CharField(max_length=3)
    amount = models.DecimalField(
        max_digits=12, decimal_places=2, validators=[MinValueValidator(CENT)]
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)

    class Meta:
        ordering = ["placed_at", "pk"]

    def __str__(self) -> str:
        return f"{self.pk}: {self.amount} {self.currency}"


class Refund(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="refunds")
    amount = models.DecimalField(
        max_digits=12, decimal_places=2, validators=[MinValueValidator(CENT)]
    )
    reason = models.CharField(max_length=200)
    refunded_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.amount} of order {self.order_id}"
