"""Permission to execute code and to use a tool, by every way of access.

Each cell of the table is a test. ``call``: the code ran, saw the tool and called it. ``miss``: the
code ran, the tool was neither listed nor found, and a call by name raised that it is not permitted.
A number is the HTTP status, the close code of the websocket or the exit status that came instead.
``login`` is a redirect to the login page, and ``-`` an impossible combination.
"""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.auth import AuthMiddlewareStack
from channels.testing import WebsocketCommunicator
from django.contrib import admin
from django.contrib.auth.backends import AllowAllUsersModelBackend
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.http import HttpRequest
from django.test import AsyncClient, Client
from django.urls import include, path

from django_codemode import SYSTEM
from django_codemode.consumers import CodemodeConsumer
from tests.support.server_sent_events import parse, parts_of
from tests.support.websockets import in_process

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

urlpatterns = [path("admin/", admin.site.urls), path("", include("tests.urls"))]

TABLE = """
who            | command | execute | aexecute | stream | astream | websocket | tools | page  | form  | live
no user        | -       | 401     | 401      | 401    | 401     | 4401      | 401   | -     | -     | -
anonymous      | -       | 401     | 401      | 401    | 401     | 4401      | 401   | login | login | 401
unknown        | 2       | -       | -        | -      | -       | -         | -     | -     | -     | -
inactive       | miss    | 403     | 403      | 403    | 403     | 4403      | 403   | 403   | 403   | 403
staff          | miss    | 403     | 403      | 403    | 403     | 4403      | 403   | 403   | 403   | 403
tool alone     | call    | 403     | 403      | 403    | 403     | 4403      | 403   | 403   | 403   | 403
execute        | miss    | miss    | miss     | miss   | miss    | miss      | miss  | miss  | miss  | miss
execute, tool  | call    | call    | call     | call   | call    | call      | call  | call  | call  | call
both, no staff | call    | call    | call     | call   | call    | call      | call  | 403   | 403   | 403
superuser      | call    | call    | call     | call   | call    | call      | call  | call  | call  | call
system         | call    | call    | call     | call   | call    | call      | call  | call  | call  | call
"""

CODE = """
listed = "testapp.secret" in tools.names()
found = "testapp.secret" in [one.name for one in tools.search("tell a secret", limit=100)]
try:
    told = testapp.secret()
except Exception as error:
    told = f"{type(error).__name__}: {error}"
refusal = "PermissionDeniedError: testapp.secret is not permitted for this caller"
words = {(True, True, "the secret"): "call", (False, False, refusal): "miss"}
print(words.get((listed, found, told), told))
"""
OUTPUT = re.compile(r"<span>(\w+)\n</span></pre>")
BODY = {"code": CODE}
JSON = "application/json"
PAGE = "/admin/django_codemode/codepermission/"


class Generous(AllowAllUsersModelBackend):
    """A backend, as a project may have one, that grants everything even to inactive users."""

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return not user_obj.is_active or super().has_perm(user_obj, perm, obj)


def of_the_system(request: HttpRequest) -> dict[str, Any]:
    return {"user": SYSTEM}


class Person:
    """A person who tries to execute, logged in where there is a ``user``."""

    def __init__(self, name: str, user: User | None) -> None:
        self.name = name
        self.client = Client()
        if user is not None:
            self.client.force_login(user)


def by_command(person: Person) -> str:
    options = [] if person.name == "system" else ["--user", person.name]
    out = io.StringIO()
    try:
        call_command("codemode_exec", CODE, *options, stdout=out)
    except CommandError as error:
        return str(error.returncode)
    return out.getvalue().strip()


def by_execute(person: Person) -> str:
    answer = person.client.post("/codemode/execute/", BODY, content_type=JSON)
    return word_of(answer.status_code, answer.json())


def by_aexecute(person: Person) -> str:
    answer = async_to_sync(post_async)(person, "/aexecute/")
    return word_of(answer.status_code, answer.json())


async def post_async(person: Person, url: str) -> Any:
    client = AsyncClient()
    client.cookies = person.client.cookies
    return await client.post(url, BODY, content_type=JSON)


def by_stream(person: Person) -> str:
    answer: Any = person.client.post("/codemode/stream/", BODY, content_type=JSON)
    if not answer.streaming:
        return word_of(answer.status_code, answer.json())
    return word_of(200, parse(b"".join(answer).decode())[-1][2])


def by_astream(person: Person) -> str:
    async def post() -> str:
        answer = await post_async(person, "/codemode/stream/")
        if not answer.streaming:
            return word_of(answer.status_code, answer.json())
        return word_of(200, parse(b"".join(await parts_of(answer)).decode())[-1][2])

    return async_to_sync(post)()


def by_websocket(person: Person) -> str:
    app: Any = CodemodeConsumer.as_asgi()
    cookies = person.client.cookies.output(header="", sep=";")
    if person.name != "no user":
        app = AuthMiddlewareStack(app)

    async def run() -> str:
        async with in_process(app, headers={"Cookie": cookies}) as socket:
            last = (await socket.run(CODE))[-1]
            if last["type"] == "completed":
                return word_of(200, last["data"])
            assert isinstance(socket.wire, WebsocketCommunicator)
            return str((await socket.wire.receive_output(20))["code"])

    return async_to_sync(run)()


def by_tools(person: Person) -> str:
    answer = person.client.get("/codemode/tools/")
    if answer.status_code != 200:
        return word_of(answer.status_code, answer.json())
    return "call" if "testapp.secret" in [one["name"] for one in answer.json()["tools"]] else "miss"


def by_page(person: Person) -> str:
    answer = person.client.get(PAGE)
    if answer.status_code != 200:
        return word_of_page(answer)
    return "call" if "testapp.secret" in answer.text else "miss"


def by_form(person: Person) -> str:
    answer = person.client.post(PAGE, BODY)
    if answer.status_code != 200:
        return word_of_page(answer)
    [output] = OUTPUT.findall(answer.text)
    return str(output)


def by_live(person: Person) -> str:
    answer: Any = person.client.post(f"{PAGE}stream/", BODY, content_type=JSON)
    if not answer.streaming:
        return word_of(answer.status_code, answer.json())
    events = parse(b"".join(answer).decode())
    return "".join(data["text"] for _, kind, data in events if kind == "output").strip()


def word_of(status: int, outcome: dict[str, Any]) -> str:
    if status != 200:
        assert outcome["error"]["code"] in {"not_authenticated", "not_permitted"}
        return str(status)
    return str(outcome["stdout"]).strip()


def word_of_page(answer: Any) -> str:
    if answer.status_code == 302:
        assert answer.headers["Location"] == f"/admin/login/?next={PAGE}"
        return "login"
    return str(answer.status_code)


HEAD, *ROWS = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()]
CELLS = [
    pytest.param(row[0], way, expected, id=f"{row[0]} by {way}")
    for row in ROWS
    for way, expected in zip(HEAD[1:], row[1:], strict=True)
    if expected != "-"
]


@pytest.fixture
def people() -> dict[str, User]:
    """Return the users, by name."""
    execute = Permission.objects.get(codename="execute_code")
    tool = Permission.objects.get(codename="add_refund")
    granted = {
        "staff": [],
        "tool alone": [tool],
        "execute": [execute],
        "execute, tool": [execute, tool],
        "both, no staff": [execute, tool],
        "inactive": [execute, tool],
        "superuser": [],
    }
    people = {}
    for name, permissions in granted.items():
        people[name] = User.objects.create_user(
            name,
            is_staff=name != "both, no staff",
            is_superuser=name == "superuser",
            is_active=name != "inactive",
        )
        people[name].user_permissions.set(permissions)
    # Even a user whose code acts as the system needs the permission execute_code.
    people["system"] = people["execute"]
    return people


@pytest.mark.parametrize(("who", "way", "expected"), CELLS)
def test_access_of_each_person_by_each_way(
    who: str, way: str, expected: str, people: dict[str, User], settings: Any
) -> None:
    settings.STATIC_URL = "/static/"
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Generous"]
    if who == "system":
        settings.CODEMODE = {"CONTEXT_PROVIDER": of_the_system}
    if who == "no user":
        settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if ".auth." not in one]

    assert globals()[f"by_{way}"](Person(who, people.get(who))) == expected
