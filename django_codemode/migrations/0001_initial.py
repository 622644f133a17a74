from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Create no table: the model is unmanaged and carries a permission."""

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="CodePermission",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
            ],
            options={
                "verbose_name": "code execution",
                "verbose_name_plural": "playground",
                "permissions": [
                    ("execute_code", "Can execute code"),
                    ("execute_as_user", "Can execute code as another user"),
                    ("watch_code", "Can watch the executions of others"),
                ],
                "managed": False,
                "base_manager_name": "objects",
                "default_permissions": (),
            },
        ),
    ]
