from __future__ import annotations

from typing import Any

from django.core.wsgi import get_wsgi_application

from tests.servers.project.identity import identity

django = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Any) -> Any:
    """Serve Django, and record what an earlier request has left in this thread."""
    environ["codemode.before"] = identity()
    return django(environ, start_response)
