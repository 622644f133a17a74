"""Attacks on the host's means: time, memory, disk, descriptors, threads."""

from __future__ import annotations

from tests.codemode.sandbox.attacks.attack import Attack

__all__ = ["ATTACKS", "DISK_BYTES", "THREADS"]

DISK_BYTES = 16 * 1024 * 1024
THREADS = 32
_MEMORY = {"max_memory_bytes": 128 * 1024 * 1024}

_LOOPS = (
    (61, "loop for ever", "while True: pass"),
    (
        72,
        "loop and swallow every exception",
        "while True:\n    try:\n        while True: pass\n    except BaseException:\n        continue",
    ),
    (73, "backtrack for ever", "import re\nreturn re.match('(a|a)*$', 'a' * 60 + 'b')"),
    (74, "compute a huge power", "return 9 ** (9 ** 8) and 0"),
    (
        78,
        "loop and ignore SIGXCPU",
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
    ),
    (
        78,
        "loop and handle SIGXCPU",
        "import signal\nsignal.signal(signal.SIGXCPU, lambda *a: None)\nwhile True: pass",
    ),
)

ATTACKS = (
    Attack(
        number=50,
        name="fill the disk",
        code=f"""
            written = 0
            def fill():
                nonlocal written
                for index in range(8):
                    with open(str(index), 'wb', buffering=0) as file:
                        for _ in range(8):
                            written += file.write(bytes(1 << 20))
            word = tell(fill)
            return 'ENOSPC' if word == 'ENOSPC' and written <= {DISK_BYTES} else f'{{word}} {{written >> 20}}'
        """,
        expected="ENOSPC",
        gaps={"B": "None 64", "C": "None 64"},
        alone=True,
    ),
    Attack(
        number=51,
        name="make files without end",
        code="""
            made = 0
            def fill():
                nonlocal made
                for index in range(5000):
                    open(f'f{index}', 'x').close()
                    made += 1
            word = tell(fill)
            return word if made < 1024 or made == 5000 else made
        """,
        expected="ENOSPC",
        gaps={"B": "None", "C": "None"},
        alone=True,
    ),
    Attack(
        number=52,
        name="a sparse file of a terabyte",
        code="""
            with open('sparse', 'wb') as file:
                return each(lambda: file.truncate(1 << 40), lambda: os.pwrite(file.fileno(), b'x', 1 << 40),
                            lambda: os.posix_fallocate(file.fileno(), 0, 1 << 40))
        """,
        expected="EFBIG",
    ),
    Attack(
        number=53,
        name="open files without end",
        code="""
            held = []
            def take():
                for _ in range(500):
                    held.append(os.open('/dev/null', os.O_RDONLY))
            word = tell(take)
            return word if len(held) <= 64 else len(held)
        """,
        expected="EMFILE",
        alone=True,
    ),
    Attack(
        number=54,
        name="large objects without end",
        code="held = []\nwhile True: held.append(bytearray(1 << 24))",
        expected="MemoryLimit",
        alone=True,
        limits=_MEMORY,
    ),
    Attack(
        number=55,
        name="threads without end",
        code=f"""
            import threading, time
            threads = []
            def take():
                for _ in range(500):
                    thread = threading.Thread(target=time.sleep, args=(60,), daemon=True)
                    thread.start()
                    threads.append(thread)
            word = tell(take)
            return word if len(threads) < {THREADS} else f'more than {THREADS}'
        """,
        expected="RuntimeError",
        # Stacks of 2 MiB under the memory limit are all that bounds them.
        gaps={"C": f"more than {THREADS}"},
        alone=True,
    ),
    Attack(
        number=56,
        name="recurse without end",
        code="def deep(): return deep()\nreturn deep()",
        expected="RecursionError",
    ),
    Attack(
        number=57,
        name="print a very deep structure",
        code="nested = []\nfor _ in range(10**6): nested = [nested]\nreturn repr(nested)",
        expected="RecursionError",
        alone=True,
    ),
    *(
        Attack(
            number=number,
            name=name,
            code=code,
            expected="CpuLimit",
            alone=True,
            limits={"max_cpu_seconds": 1.0},
            seconds=60,
        )
        for number, name, code in _LOOPS
    ),
    Attack(
        number=62,
        name="sleep and ignore SIGTERM",
        code="import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)",
        expected="Timeout",
        alone=True,
        seconds=3,
    ),
    Attack(
        number=63,
        name="stop oneself",
        code="import signal\nos.kill(os.getpid(), signal.SIGSTOP)\nreturn 'ignored'",
        expected="ignored",
        lower="Timeout",
        alone=True,
        seconds=5,
    ),
    Attack(
        number=75,
        name="a text of a gigabyte",
        code="return len('a' * 10**9)",
        expected="MemoryLimit",
        alone=True,
    ),
    Attack(
        number=76,
        name="small objects without end",
        code="held = []\nwhile True: held.append({len(held): []})",
        expected="MemoryLimit",
        alone=True,
        limits=_MEMORY,
    ),
    Attack(
        number=77,
        name="output without end",
        code="while True: print('x' * 1000)",
        expected="OutputLimit",
        alone=True,
    ),
    Attack(
        number=89,
        name="a zip bomb",
        code="import zlib\npacker = zlib.compressobj(9)\n"
        "bomb = b''.join(packer.compress(bytes(1 << 20)) for _ in range(400)) + packer.flush()\n"
        "return len(zlib.decompress(bomb))",
        expected="MemoryLimit",
        alone=True,
        limits=_MEMORY,
    ),
    Attack(
        number=90,
        name="bombs for the parser",
        code="return each(lambda: compile('(' * 10**5, '', 'exec'), lambda: compile('[' * 90 + ']' * 90 + '+' * 10**5 + '1', '', 'eval'))",
        expected="MemoryLimit",
        alone=True,
        limits=_MEMORY,
    ),
)
