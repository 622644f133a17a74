"""Attacks on the kernel: calls that must not be reached, by any door."""

from __future__ import annotations

from tests.codemode.sandbox.attacks.attack import Attack

__all__ = ["ATTACKS"]


def _tripwire(number: int, name: str, *calls: str) -> list[Attack]:
    """Return attacks by calls that no honest program makes: each costs the process."""
    return [
        Attack(
            number=number,
            name=f"{name} ({index})" if index else name,
            code=f"return call({call})",
            expected="SecurityViolation",
            alone=True,
        )
        for index, call in enumerate(calls)
    ]


# mov eax, number; mov ebx, argument; int 0x80; ret - with rbx kept. 1 is exit
# there: a filter that looks at the number alone would take it for another call.
_INT80 = """
    import mmap
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(b'\\x53\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\x5b\\xc3')
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_long)(address)()
"""

# mov rax, rdi; mov rdi, rsi; mov rsi, rdx; xor edx, edx; xor r10d, r10d; syscall; ret
_RAW = """
    import mmap
    page = mmap.mmap(-1, 4096)
    page.write(b'\\x48\\x89\\xf8\\x48\\x89\\xf7\\x48\\x89\\xd6\\x31\\xd2\\x45\\x31\\xd2\\x0f\\x05\\xc3')
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    libc.mprotect(ctypes.c_void_p(address), 4096, 7)
    raw = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_long)(address)
    assert raw(NUMBERS['getpid'], 0, 0) == os.getpid()
"""
_RAW_NUMBERS = [
    "fork",
    "vfork",
    "execve",
    "execveat",
    "tkill",
    "setuid",
    "shmget",
    "pidfd_open",
    "sched_setscheduler",
]

ATTACKS = (
    *_tripwire(16, "trace another process", "'ptrace', 16, VICTIM, 0, 0", "'ptrace', 0, 0, 0, 0"),
    *_tripwire(17, "read another process's memory", "'process_vm_readv', VICTIM, 0, 0, 0, 0, 0"),
    *_tripwire(23, "make a user namespace", "'unshare', 0x10000000"),
    Attack(
        number=24,
        name="make a namespace by clone",
        code="""
            flags = [0x10000000, 0x20000000, 0x00020000, 0x40000000, 0x08000000, 0x04000000, 0x02000000]
            thread = 0x10100  # with the flags of a thread too
            return each(*(lambda f=f: call('clone', f | 17, 0, 0, 0, 0) for f in flags),
                        *(lambda f=f: call('clone', f | thread, 0, 0, 0, 0) for f in flags))
        """,
        expected="EPERM",
    ),
    Attack(
        number=53,
        name="have a second table of descriptors",
        code="""
            shared = 0x3d0f00  # a thread's flags, all of which it must have
            return each(lambda: call('clone', shared & ~0x400, 0, 0, 0, 0),
                        lambda: call('close_range', 100, 101, 2), lambda: call('close_range', 100, 101, 6))
        """,
        expected="EPERM EINVAL",
    ),
    Attack(
        number=97,
        name="lock a file that all may read",
        code="return each(*(lambda how=how: call('flock', os.open(os.__file__, os.O_RDONLY), how) for how in (1, 2, 6, 8)))",
        expected="ENOLCK",
    ),
    Attack(
        number=25,
        name="clone3",
        code="return call('clone3', ctypes.create_string_buffer(88), 88)",
        expected="ENOSYS",
    ),
    *_tripwire(26, "mount", "'mount', b'none', b'/tmp', b'tmpfs', 0, 0"),
    *_tripwire(27, "enter a namespace", "'setns', 0, 0"),
    *_tripwire(28, "change the root", "'chroot', b'/'"),
    *_tripwire(29, "load a kernel program", "'bpf', 0, 0, 0"),
    *_tripwire(30, "handle page faults", "'userfaultfd', 0"),
    *_tripwire(31, "read keyrings", "'keyctl', 0, -3, 0", "'add_key', b'user', b'x', b'x', 1, -3"),
    *_tripwire(32, "count events of the processor", "'perf_event_open', 0, 0, -1, -1, 0"),
    *_tripwire(33, "open a file by its handle", "'open_by_handle_at', -100, 0, 0"),
    *_tripwire(34, "change the personality", "'personality', 0x0040000"),
    Attack(
        number=35,
        name="io_uring",
        code="return call('io_uring_setup', 8, ctypes.create_string_buffer(128))",
        expected="ENOSYS",
    ),
    Attack(
        number=36,
        name="calls of the x32 table",
        code="return libc.syscall(ctypes.c_long(0x40000000 + NUMBERS['getpid']))",
        expected="SecurityViolation",
        alone=True,
        machine="x86_64",
    ),
    Attack(
        number=37,
        name="calls of the 32-bit table",
        code=_INT80,
        expected="SecurityViolation",
        alone=True,
        machine="x86_64",
    ),
    Attack(
        number=38,
        name="become another user",
        code="return each(lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([]), "
        "lambda: os.setresuid(0, 0, 0), lambda: os.setresgid(0, 0, 0), lambda: os.setsid())",
        expected="EPERM",
    ),
    Attack(
        number=39,
        name="undo what ties the process to its zygote",
        code="""
            pdeathsig, dumpable, keepcaps, subreaper, seccomp, bounding, ptracer = 1, 4, 8, 36, 22, 24, 0x59616d61
            options = (pdeathsig, dumpable, keepcaps, subreaper, seccomp, bounding, ptracer)
            return each(*(lambda o=o: call('prctl', o, 0, 0, 0, 0) for o in options))
        """,
        expected="EPERM",
    ),
    Attack(
        number=40,
        name="raise the own limits",
        code="""
            import resource
            def above(kind):
                soft, hard = resource.getrlimit(kind)
                return resource.setrlimit(kind, (hard, hard + 1) if hard != -1 else (0, 0, 0))
            kinds = [getattr(resource, 'RLIMIT_' + n) for n in 'AS CPU NOFILE FSIZE CORE'.split()]
            return each(*(lambda k=k: above(k) for k in kinds))
        """,
        expected="ValueError",
    ),
    Attack(
        number=42,
        name="make a block device",
        code="return call('mknodat', -100, b'disk', 0o60666, os.makedev(8, 0))",
        expected="EPERM",
    ),
    *_tripwire(47, "set the clock", "'settimeofday', 0, 0", "'clock_settime', 0, 0"),
    *_tripwire(
        48,
        "load modules, boot",
        "'kexec_load', 0, 0, 0, 0",
        "'init_module', 0, 0, b''",
        "'reboot', 0, 0, 0, 0",
    ),
    Attack(
        number=35,
        name="locks with priority inheritance",
        code="""
            word = ctypes.create_string_buffer(8)
            return each(*(lambda o=o: call('futex', word, o, 0, 0, word, 0) for o in (6, 7, 8, 11, 12, 13, 134)))
        """,
        expected="ENOSYS",
    ),
    Attack(
        number=35,
        name="move pages of a file that all share into a pipe",
        code="""
            shared, (reader, writer) = os.open(os.__file__, os.O_RDONLY), os.pipe()
            return each(lambda: os.splice(shared, writer, 1), lambda: os.sendfile(writer, shared, 0, 1),
                        lambda: call('tee', reader, writer, 1, 0))
        """,
        expected="ENOSYS ENOTSOCK",
    ),
    Attack(
        number=97,
        name="ask which pages of a file are in memory",
        code="""
            shared, seen = os.open(os.__file__, os.O_RDONLY), ctypes.create_string_buffer(64)
            return call('cachestat', shared, seen, seen, 0)
        """,
        expected="ENOSYS",
    ),
    Attack(
        number=49,
        name="memory that no limit counts",
        code="return each(lambda: call('memfd_create', b'x', 0), lambda: call('memfd_secret', 0))",
        expected="ENOSYS",
    ),
    Attack(
        number=93,
        name="refused calls by machine code of one's own",
        code=f"{_RAW}    return {{raw(NUMBERS[name], 0, 0) for name in {_RAW_NUMBERS}}}",
        expected="{-1}",
        alone=True,
        machine="x86_64",
    ),
    Attack(
        number=93,
        name="a tripwire by machine code of one's own",
        code=f"{_RAW}    return raw(NUMBERS['unshare'], 0x10000000, 0)",
        expected="SecurityViolation",
        alone=True,
        machine="x86_64",
    ),
)
