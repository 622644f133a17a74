"""No table: only the permissions."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

__all__ = ["CodePermission"]


class CodePermission(models.Model):  # noqa: DJ008  there are no rows to show
    """Carry ``execute_code`` and ``watch_code``, which nobody has by default but superusers."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("execute_code", _("Can execute code")),
            ("watch_code", _("Can watch the executions of others")),
        ]
        verbose_name = _("code execution")
        # What the admin calls the link to its page.
        verbose_name_plural = _("playground")
