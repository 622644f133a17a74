"""Statements of one call after the other, and of clock, randomness and output."""

from __future__ import annotations

from tests.support.random_programs.statements import Statements, statement, sync_statement

_MAX_FILES = 8  # of the 10 that a run may give


@statement(6, simple=True)
def one_call(s: Statements, calls: int) -> str:
    tool = s.async_tool()
    return (
        f"key = digest(me)\nsee(me, answered('{tool}', key, await {tool}(key, {s.extra()})))\n"
        + (s.body(calls - 1) if calls > 1 else "")
    )


@statement(3, simple=True)
@sync_statement(6, simple=True)
def sync_call(s: Statements, calls: int) -> str:
    return "".join(
        f"key = digest(me)\nsee(me, answered('lookup', key, lookup(key, {s.extra()})))\n"
        for _ in range(calls)
    )


@statement(1)
def call_made_before_it_is_awaited(s: Statements, calls: int) -> str:
    name = s.name("answer")
    rest = s.body(calls - 1) if calls > 1 else ""
    return f"{name} = {s.async_tool()}(digest(me))\n{rest}see(me, (await {name})['serial'])\n"


@statement(3, simple=True)
def retry(s: Statements, calls: int) -> str:
    pause = s.pick("", f"        await asyncio.sleep({s.seconds(2)} * attempt)\n")
    return (
        f"for attempt in range({calls}):\n"
        "    try:\n"
        f"        see(me, await flaky(digest(me), {s.extra()}))\n"
        "        break\n"
        "    except ToolError as error:\n"
        f"        see(me, str(error))\n{pause}"
    )


@sync_statement(3, simple=True)
def sync_retry(s: Statements, calls: int) -> str:
    return (
        f"for attempt in range({calls}):\n"
        "    try:\n"
        f"        see(me, shaky(digest(me), {s.extra()}))\n"
        "        break\n"
        "    except ToolError as error:\n"
        "        see(me, str(error))\n"
    )


@statement(0.3)
@sync_statement(0.3)
def search(s: Statements, calls: int) -> str:
    return f"see(me, str(tools.search('{s.pick('fetch', 'key', 'look')}')))\n" + sync_call(s, 1)


@statement(1, simple=True)
@sync_statement(2, simple=True)
def generator(s: Statements, calls: int) -> str:
    name = s.name("answers")
    s.functions.append(
        f"def {name}(me, count):\n"
        "    for number in range(count):\n"
        "        yield lookup(digest(me), number)['serial']\n"
    )
    return f"for each in {name}(me, {calls}):\n    see(me, each)\n"


@statement(2)
def async_generator(s: Statements, calls: int) -> str:
    name = s.name("pages")
    s.functions.append(
        f"async def {name}(me, count):\n"
        "    try:\n"
        "        for number in range(count):\n"
        f"            yield await {s.async_tool()}(digest(me), number)\n"
        "    finally:\n"
        "        see(me, 'closed')\n"
    )
    end = s.pick("", f"    if len(me) % 3 == 0:\n        {s.pick('break', 'continue')}\n")
    return f"async for page in {name}(me, {calls}):\n    see(me, page['serial'])\n{end}"


@statement(1)
@sync_statement(1)
def clock(s: Statements, calls: int) -> str:
    source = s.pick(
        "time.time()",
        "time.monotonic_ns()",
        "datetime.datetime.now().isoformat()",
        "random.sample(range(100), 3)",
        "uuid.uuid4().hex",
        "uuid.uuid1().hex",
        "secrets.randbelow(1000)",
        "random.SystemRandom().random()",
        "[random.seed(len(me)), random.choice(range(99)), random.gauss()]",
        "[random.random(), random.getrandbits(40), draw()]",
        "os.path.basename(tempfile.mktemp())",
        "email.utils.make_msgid().rpartition('.')[2]",
        "threading.current_thread().name",
        "threading.Thread(target=print).name",
        "[*{str(n) + digest(me) for n in range(6)}]",
        "[*frozenset({(str(n), n) for n in range(6)})]",
        "hash(digest(me))",
    )
    return f"see(me, {source})\n" + sync_call(s, calls)


@statement(1)
@sync_statement(1)
def output(s: Statements, calls: int) -> str:
    more = s.pick("", ", end=''", ", flush=True", ", file=__import__('sys').stderr")
    return f"print(digest(me), {s.extra()}{more})\n" + sync_call(s, calls)


@statement(0.5)
@sync_statement(0.7)
def log(s: Statements, calls: int) -> str:
    return f"logging.warning('%s %s', digest(me), {s.extra()})\n" + sync_call(s, calls)


@statement(0.3)
@sync_statement(0.5)
def file(s: Statements, calls: int) -> str:
    s.files += 1
    if s.files > _MAX_FILES:
        return sync_call(s, calls)
    name = f"digest(me) + '.{s.pick('txt', 'csv')}'"
    return (
        f"name = {name}\n"
        f"with open(name, 'w') as file:\n    print({s.extra()}, file=file)\n"
        "artifact(name)\n"
    ) + sync_call(s, calls)


@statement(0.5)
@sync_statement(0.3)
def waiting_for_the_clock(s: Statements, calls: int) -> str:
    return (
        f"until = time.monotonic() + {s.seconds(1)}\n"
        "while time.monotonic() < until:\n"
        f"    {s.pick('pass', 'time.sleep(0.0002)')}\n"
    ) + sync_call(s, calls)
