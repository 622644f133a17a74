"""A model without a table, which carries the permissions."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

__all__ = ["CodePermission"]


class _NoRows(models.Manager["CodePermission"]):
    """A manager that finds nothing and queries no table: ``dumpdata`` visits all models."""

    def get_queryset(self) -> models.QuerySet[CodePermission]:
        """Return no rows."""
        return super().get_queryset().none()


class CodePermission(models.Model):  # noqa: DJ008  there are no rows to show
    """The model of the permissions to execute and watch code, by default only for superusers."""

    objects = _NoRows()

    class Meta:
        managed = False
        base_manager_name = "objects"
        default_permissions = ()
        permissions = [
            ("execute_code", _("Can execute code")),
            ("execute_as_user", _("Can execute code as another user")),
            ("watch_code", _("Can watch the executions of others")),
        ]
        verbose_name = _("code execution")
        # The admin's label for the link to the playground.
        verbose_name_plural = _("playground")
