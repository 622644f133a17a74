"""The people of the demonstration: who asks is chosen on the page, without a password.

That holds with DEBUG alone, and for these users alone. A real project has its own log-in.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.models import Permission, User
from django.http import HttpRequest

__all__ = ["PEOPLE", "Person", "log_in"]

_BACKEND = "django.contrib.auth.backends.ModelBackend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who may use the assistant and the playground; ``may`` has permissions."""

    username: str
    name: str
    role: str
    may: tuple[str, ...] = ("execute_code",)


PEOPLE = (
    Person(username="demo-clerk", name="Nora", role="clerk"),
    Person(
        username="demo-manager", name="Tarek", role="manager", may=("execute_code", "add_refund")
    ),
)


def log_in(request: HttpRequest, person: Person) -> None:
    """Log in one of the people, who is created on first use. Raises RuntimeError without DEBUG."""
    if not settings.DEBUG:
        raise RuntimeError("people log in without a password only in a demonstration, with DEBUG")
    user, created = User.objects.get_or_create(
        username=person.username, defaults={"first_name": person.name, "is_staff": True}
    )
    if created:
        user.set_unusable_password()
        user.save()
        user.user_permissions.set(Permission.objects.filter(codename__in=person.may))
    login(request, user, backend=_BACKEND)
