"""Attacks on the interpreter and the runtime in the sandbox: they cost the attacker alone."""

from __future__ import annotations

from tests.codemode.sandbox.attacks.attack import Attack

__all__ = ["ATTACKS"]

ATTACKS = (
    Attack(
        number=58,
        name="read address 0",
        code="return ctypes.string_at(0)",
        expected="Crashed",
        alone=True,
    ),
    Attack(number=59, name="abort", code="os.abort()", expected="Crashed", alone=True),
    Attack(number=60, name="_exit", code="os._exit(0)", expected="ExitedEarly", alone=True),
    Attack(
        number=60,
        name="pretend that no code has run, by the status of a failed lock-down",
        code="os._exit(70)",
        expected="ExitedEarly",
        alone=True,
    ),
    Attack(
        number=64,
        name="leave a thread that never ends",
        code="import threading, time\nthreading.Thread(target=time.sleep, args=(100,)).start()\nreturn 'returned'",
        expected="returned",
        alone=True,
        seconds=60,
    ),
    Attack(
        number=65,
        name="leave an exit handler that sleeps",
        code="import atexit, time\natexit.register(time.sleep, 100)\nreturn 'returned'",
        expected="returned",
        alone=True,
        seconds=60,
    ),
    Attack(
        number=68,
        name="close the channel",
        code="os.close(3)",
        expected="ExitedEarly",
        alone=True,
        seconds=60,
    ),
    Attack(
        number=69,
        name="find secrets among the objects of the process",
        code="""
            import gc
            kept = [o for o in gc.get_objects() if isinstance(o, socket.socket)]
            numbers = sorted({o.fileno() for o in kept} - {-1})
            texts = [o for o in gc.get_objects() if isinstance(o, dict)]
            found = [k for d in texts for k, v in list(d.items()) if isinstance(v, (str, bytes)) and SECRET[::-1] in (v if isinstance(v, str) else v.decode('latin1'))]
            return numbers, found
        """,
        expected="([3], [])",
    ),
    Attack(
        number=69,
        name="read the arguments that the zygote was started with",
        code="return sys.argv, sys.orig_argv",
        expected="([''], [''])",
    ),
    Attack(
        number=91,
        name="replace what the runtime itself uses",
        code="""
            import builtins, json
            frame = sys._getframe()
            while frame.f_back:
                frame = frame.f_back
            frame.f_globals.clear()
            sys.settrace(lambda *a: None)
            sys.setprofile(lambda *a: None)
            json.dumps = builtins.print = builtins.open = None
            sys.modules.clear()
            return 'own result'
        """,
        expected="own result",
        alone=True,
        seconds=60,
    ),
    Attack(
        number=92,
        name="overwrite the memory of the runtime",
        code="ctypes.memset(id(type(None)), 0xff, 200)\nreturn None.x",
        expected="Crashed",
        alone=True,
        seconds=60,
    ),
    Attack(
        number=92,
        name="take the interpreter's own code away",
        code="address = ctypes.cast(ctypes.pythonapi.PyObject_Repr, ctypes.c_void_p).value & ~0xfff\n"
        "libc.munmap(ctypes.c_void_p(address), 1 << 16)\nreturn repr([object()])",
        expected="Crashed",
        alone=True,
        seconds=60,
    ),
)
