"""Attacks on what is beside the sandbox: network, processes, environment, descriptors."""

from __future__ import annotations

from tests.codemode.sandbox.attacks.attack import Attack

__all__ = ["ATTACKS"]

ATTACKS = (
    Attack(
        number=7,
        name="read secrets in the environment",
        code="""
            environ = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, 'environ')
            raw, index = set(), 0
            while environ[index]:
                raw.add(environ[index].split(b'=')[0].decode())
                index += 1
            seen = raw | set(os.environ)
            return 'clean' if seen == set(ENVIRONMENT) else seen ^ set(ENVIRONMENT)
        """,
        expected="clean",
    ),
    Attack(
        number=8,
        name="use descriptors of others",
        code="""
            found = []
            for fd in range(4096):
                try:
                    os.fstat(fd)
                except OSError:
                    continue
                found.append(fd)
            return found
        """,
        expected="[0, 1, 2, 3]",
        alone=True,
    ),
    Attack(
        number=9,
        name="open a socket of any family",
        code="""
            kinds = [(2, 1), (2, 2), (10, 1), (1, 1), (1, 2), (16, 3), (17, 3), (40, 1), (38, 5), (2, 3)]
            return each(*(lambda k=k: socket.socket(*k) for k in kinds))
        """,
        expected="EACCES",
    ),
    Attack(
        number=10,
        name="reach a socket of another process by its path, its name or its port",
        code="""
            def connect(address, family=1):
                return socket.socket(family, 1).connect(address)
            stream, _ = socket.socketpair()
            return each(
                lambda: socket.socketpair(1, 2)[0].sendto(b'x', DATAGRAMS),
                lambda: stream.sendto(b'x', DATAGRAMS), lambda: stream.connect(STREAMS),
                lambda: connect(STREAMS), lambda: connect(ABSTRACT),
                lambda: connect(('127.0.0.1', TCP), 2),
                lambda: socket.socket(2, 2).sendto(b'x', ('127.0.0.1', UDP)),
            )
        """,
        expected="EPERM EACCES",
    ),
    Attack(
        number=11,
        name="smuggle a descriptor out",
        code="""
            channel = socket.socket(fileno=os.dup(3))
            ours, theirs = socket.socketpair()
            return each(
                lambda: socket.send_fds(channel, [b'x'], [0]), lambda: socket.send_fds(ours, [b'x'], [0]),
                lambda: socket.recv_fds(theirs, 1, 1),
            )
        """,
        expected="EPERM",
    ),
    Attack(
        number=11,
        name="be handed a descriptor of the executor, or its ids, by the channel",
        code="""
            found = {}
            for option in range(128):
                buffer, size = ctypes.create_string_buffer(256), ctypes.c_uint(256)
                if libc.getsockopt(3, 1, option, buffer, ctypes.byref(size)) == 0:
                    found[option] = size.value
            # Of which kind the socket is, its errors and its buffers; nothing of the other end.
            return sorted(set(found) - {3, 4, 7, 8, 30, 38, 39})
        """,
        expected="[]",
    ),
    Attack(
        number=11,
        name="send and receive bytes out of band",
        code="""
            ours, theirs = socket.socketpair()
            return each(lambda: ours.send(b'x', socket.MSG_OOB), lambda: theirs.recv(1, socket.MSG_OOB))
        """,
        expected="EPERM",
    ),
    Attack(
        number=12,
        name="fork",
        code="""
            return each(os.fork, lambda: call('clone', 17, 0, 0, 0, 0),
                        *([lambda: call('fork')] if 'fork' in NUMBERS else []))
        """,
        expected="EPERM",
    ),
    Attack(
        number=13,
        name="start a program",
        code="""
            import subprocess
            return each(lambda: subprocess.run(['/bin/true']), lambda: subprocess.run([sys.executable or 'x', '-V']),
                        lambda: os.posix_spawn('/bin/true', ['true'], {}), lambda: os.system('true') and 'EPERM')
        """,
        expected="EPERM",
    ),
    Attack(
        number=14,
        name="replace the process by another program",
        code="""
            import glob
            linkers = glob.glob('/lib64/ld-linux*') + glob.glob('/lib/ld-linux*') + glob.glob('/usr/lib/*/ld-linux*')
            assert linkers
            return each(*(lambda p=p: os.execv(p, ['x', '/bin/true']) for p in ['/bin/true', *linkers]))
        """,
        expected="EPERM",
    ),
    Attack(
        number=15,
        name="start processes by multiprocessing",
        code="""
            import multiprocessing
            def start(method):
                process = multiprocessing.get_context(method).Process(target=print)
                process.start()
            return each(*(lambda m=m: start(m) for m in ('fork', 'spawn', 'forkserver')))
        """,
        expected="EPERM",
    ),
    Attack(
        number=18,
        name="signal the own process group",
        code="return each(lambda: os.kill(0, 0), lambda: os.killpg(0, 0))",
        expected="EPERM",
    ),
    Attack(
        number=19,
        name="signal every process",
        code="return each(lambda: os.kill(-1, 0), lambda: call('kill', -1, 0), lambda: call('kill', 1 << 32, 0))",
        expected="EPERM",
    ),
    Attack(
        number=20,
        name="signal the executor, the zygote and another process of the user",
        code="""
            others = {2, 3, EXECUTOR, VICTIM, *ZYGOTES, os.getppid()} - {os.getpid()}
            return each(*(lambda p=p: os.kill(p, 0) for p in others))
        """,
        expected="EPERM",
    ),
    Attack(
        number=21,
        name="signal a thread of another process, or with forged details",
        code="""
            details = ctypes.create_string_buffer(128)
            return each(
                lambda: call('tkill', VICTIM, 0), lambda: call('tgkill', VICTIM, VICTIM, 0),
                lambda: call('rt_sigqueueinfo', VICTIM, 0, details),
                lambda: call('rt_tgsigqueueinfo', VICTIM, VICTIM, 0, details),
                lambda: call('tgkill', -1, VICTIM, 0),
            )
        """,
        expected="EPERM",
    ),
    Attack(
        number=22,
        name="hold another process by a pidfd",
        code="return each(*(lambda p=p: os.pidfd_open(p) for p in (1, VICTIM, EXECUTOR)))",
        expected="EPERM",
    ),
    Attack(
        number=41,
        name="change the limits of another process",
        code="""
            import resource
            return each(lambda: resource.prlimit(VICTIM, resource.RLIMIT_NOFILE, (3, 3)),
                        lambda: resource.prlimit(VICTIM, resource.RLIMIT_NOFILE))
        """,
        expected="EPERM",
    ),
    Attack(
        number=40,
        name="let the kernel keep locked memory, queues and signals",
        code="""
            import resource
            kinds = [getattr(resource, 'RLIMIT_' + n) for n in ('MEMLOCK', 'MSGQUEUE', 'SIGPENDING')]
            page = ctypes.create_string_buffer(4096)
            locked = tell(lambda: libc.mlock(page, 4096) and os.strerror(ctypes.get_errno()))
            return [resource.getrlimit(kind)[1] for kind in kinds], locked
        """,
        expected="([0, 0, 64], 'Operation not permitted')",
    ),
    Attack(
        number=44,
        name="share memory and queues with other processes",
        code="""
            return each(
                lambda: call('shmget', 0x636d, 4096, 0o1666), lambda: call('semget', 0x636d, 1, 0o1666),
                lambda: call('msgget', 0x636d, 0o1666), lambda: call('mq_open', b'cm', 0o102, 0o666, 0),
            )
        """,
        expected="EPERM",
    ),
    Attack(
        number=46,
        name="get more of the processor than others",
        code="""
            zero = ctypes.create_string_buffer(8)
            return each(
                lambda: os.nice(-5), lambda: call('sched_setscheduler', 0, 1, (ctypes.c_int * 1)(50)),
                lambda: os.sched_setaffinity(0, {0}), lambda: os.setpriority(os.PRIO_USER, 0, 19),
                lambda: os.setpriority(os.PRIO_PGRP, 0, 19), lambda: os.setpriority(os.PRIO_PROCESS, VICTIM, 19),
            )
        """,
        expected="EPERM",
    ),
    Attack(
        number=94,
        name="execute by a descriptor",
        code="""
            me = os.open(os.__file__, os.O_RDONLY)
            null = (ctypes.c_void_p * 1)(None)
            return each(lambda: call('execveat', me, b'', null, null, 0x1000),
                        lambda: os.execve(me, ['x'], {}))
        """,
        expected="EPERM",
    ),
)
