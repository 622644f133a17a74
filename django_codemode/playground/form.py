"""What the page sends, by its form or as JSON."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest

from django_codemode.refusals import RefusalError

__all__ = ["form_data", "taken_text"]

_LONGEST = 200


def form_data(request: HttpRequest, limit: int) -> dict[str, Any]:
    """Return the data of the form, as the stream takes it in JSON. Raises RefusalError.

    ``limit`` is the most bytes of code and inputs.
    """
    # Browsers end the lines of a form field with CRLF.
    code, inputs = (request.POST.get(name, "").replace("\r\n", "\n") for name in ("code", "inputs"))
    for name, text in (("code has", code), ("inputs have", inputs)):
        if len(text.encode(errors="surrogatepass")) > limit:
            message = f"the {name} more than {limit:,} bytes"
            raise RefusalError("body_too_large", message, status=413)
    return {
        "code": code,
        "inputs": _parsed(inputs) if inputs.strip() else None,
        "profile": request.POST.get("profile"),
        "as_user": request.POST.get("as_user"),
    }


def taken_text(data: dict[str, Any], key: str) -> str:
    """Remove a short text from the data and return it; "" if there is none. Raises RefusalError."""
    value = data.pop(key, None)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise RefusalError(
            f"invalid_{key}",
            f"{key!r} is {value!r:.100}; expected a string of at most {_LONGEST} characters",
        )
    return value.strip()


def _parsed(inputs: str) -> Any:
    try:
        return json.loads(inputs)
    except (ValueError, RecursionError) as error:
        raise RefusalError(
            "invalid_inputs",
            f"the inputs are not JSON: {error}; expected an object of variable names and their "
            'values, such as {"limit": 2}',
        ) from error
