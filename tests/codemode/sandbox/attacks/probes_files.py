"""Attacks on files: reading, writing and knowing what lies outside."""

from __future__ import annotations

from tests.codemode.sandbox.attacks.attack import Attack

__all__ = ["ATTACKS"]

ATTACKS = (
    Attack(
        number=1,
        name="read a secret of the system or of another user",
        code="return each(lambda: open('/etc/shadow').read(), lambda: open(FILE).read())",
        expected="ENOENT",
        lower="EACCES",
    ),
    Attack(
        number=2,
        name="list folders outside",
        code="""
            def beside(folder):
                # What is in there and not on the way to the interpreter.
                names = os.listdir(folder)
                found = [n for n in names if not any(f'{v}/'.startswith(f'{folder}/{n}/') for v in VIEW)]
                if names and not found:
                    raise FileNotFoundError(errno.ENOENT, folder)
                return found
            folders = (FOLDER, '/root', '/home', '/srv', '/var', '/proc', '/sys', '/run')
            refused = each(*(lambda f=f: beside(f) for f in folders))
            try:
                top = set(os.listdir('/'))
            except PermissionError:
                return refused
            more = top - {v.split('/')[1] for v in VIEW}
            return f'view {more or refused}'
        """,
        # An interpreter below /root or /home has its path, and nothing beside it, in the view.
        expected="view ENOENT",
        lower="EACCES",
    ),
    Attack(
        number=3,
        name="read processes in /proc",
        code="""
            paths = ('/proc/self/environ', '/proc/self/maps', '/proc/1/cmdline', f'/proc/{EXECUTOR}/environ',
                     f'/proc/{VICTIM}/environ', '/sys/kernel/notes')
            return each(*(lambda p=p: open(p, 'rb').read() for p in paths))
        """,
        expected="ENOENT",
        lower="EACCES",
    ),
    Attack(
        number=4,
        name="know the size of a file outside",
        code="return each(lambda: os.stat(FILE).st_size, lambda: os.readlink('/proc/self/exe') and 6)",
        expected="ENOENT",
        gaps={"B": "6", "C": "6"},
    ),
    Attack(
        number=5,
        name="change the mode, the owner and the times of a file outside",
        code="""
            return each(
                lambda: os.chmod(FILE, 0o777), lambda: os.chmod(FOLDER, 0),
                lambda: os.utime(FILE, (1, 1)), lambda: os.chown(FILE, os.getuid(), -1),
                lambda: os.setxattr(FILE, 'user.x', b'x'),
            )
        """,
        # A chown or an attribute is answered in tier A before its path is looked at.
        expected="ENOENT EPERM ENOTSUP",
        # Answered as done, and not done: the bait tells.
        lower="None",
    ),
    Attack(
        number=5,
        name="empty a file outside",
        code="return each(lambda: os.truncate(FILE, 0), lambda: open(FILE, 'w'), lambda: os.unlink(FILE), "
        "lambda: os.rename(FILE, 'mine'), lambda: os.link(FILE, 'mine'), "
        "lambda: open(FOLDER + '/new', 'x'), lambda: os.mkdir(FOLDER + '/new'), "
        "lambda: os.symlink('/', FOLDER + '/new'))",
        expected="ENOENT",
        # Landlock answers a link or a rename out of its folders with EXDEV.
        lower="EACCES EXDEV",
    ),
    Attack(
        number=5,
        name="change the mode and the times of the devices",
        code="""
            devices = [f'/dev/{name}' for name in ('null', 'zero', 'random', 'urandom')]
            before = [os.stat(d).st_mtime_ns for d in devices]
            # Whoever may write to a file may also set its times to now.
            words = each(*(lambda d=d: os.utime(d) for d in devices),
                         *(lambda d=d: os.chmod(d, 0o777) for d in devices))
            return words if before == [os.stat(d).st_mtime_ns for d in devices] else 'changed'
        """,
        expected="EROFS",
        lower="None",
    ),
    Attack(
        number=6,
        name="write into the standard library",
        code="""
            folder = os.path.dirname(os.__file__)
            return each(
                lambda: open(os.__file__, 'a'), lambda: open(folder + '/planted.py', 'x'),
                lambda: os.mkdir(folder + '/planted'), lambda: os.unlink(os.__file__),
                lambda: os.truncate(os.__file__, 0), lambda: os.rename(os.__file__, folder + '/planted.py'),
            )
        """,
        # Both hold: the mount, and for all but an owner the mode of the folder.
        expected="EROFS|EACCES EROFS",
        lower="EACCES",
    ),
    Attack(
        number=43,
        name="reach a terminal",
        code="return each(lambda: open('/dev/tty'), lambda: open('/dev/mem'), lambda: open('/dev/kmsg'))",
        expected="ENOENT",
        lower="EACCES ENOENT",
    ),
    Attack(
        number=43,
        name="type into a terminal",
        code="""
            import fcntl
            return each(*(lambda fd=fd: fcntl.ioctl(fd, 0x5412, b'x') for fd in range(4)))
        """,
        expected="ENOTTY",
    ),
    Attack(
        number=45,
        name="load a library that the code has dropped",
        code="""
            import _ctypes, shutil
            shutil.copyfile(_ctypes.__file__, 'dropped.so')
            return 'loaded' if ctypes.CDLL(os.path.abspath('dropped.so')) else ''
        """,
        expected="OSError",
        gaps={"B": "loaded", "C": "loaded"},
    ),
    Attack(
        number=88,
        name="leave a pipe, a socket and a device behind",
        code="""
            ours, theirs = socket.socketpair()
            return each(
                lambda: os.mkfifo('pipe'), lambda: os.mknod('device', 0o20666, os.makedev(1, 3)),
                lambda: os.mknod('socket', 0o140666), lambda: ours.bind('socket'), lambda: theirs.listen(),
            )
        """,
        expected="EPERM",
    ),
    Attack(
        number=95,
        name="climb out by openat2, by dots and by links",
        code="""
            how = (ctypes.c_ulonglong * 3)(0, 0, 0x10)  # RESOLVE_IN_ROOT
            os.symlink(FILE, 'link')
            os.symlink('/proc/self/root/etc/shadow', 'root')
            above = '../' * 40
            return each(
                lambda: open(above + FILE[1:]).read(), lambda: open('link').read(),
                lambda: open('root').read(), lambda: open('/proc/self/root/../etc/shadow').read(),
                lambda: open('/proc/1/root' + FILE).read(), lambda: open('/proc/self/cwd/link').read(),
                lambda: call('openat2', os.open('/usr', os.O_PATH), b'../etc/shadow', how, 24),
            )
        """,
        expected="ENOENT",
        lower="EACCES ENOENT",
    ),
    Attack(
        number=96,
        name="read packages installed for the whole system",
        code="""
            import glob
            patterns = ('/usr/lib/python3*/*-packages', '/usr/local/lib/python3*/*-packages', os.path.dirname(os.__file__) + '/*-packages')
            return 'read' if any(os.listdir(f) for p in patterns for f in glob.glob(p)) else 'nothing'
        """,
        expected="nothing",
        # Where there are any.
        gaps={"B": "read|nothing", "C": "read|nothing"},
    ),
    Attack(
        number=96,
        name="find packages and settings of the project",
        code="""
            import importlib
            from pathlib import Path
            def look(name):
                return importlib.import_module(name).__file__
            imports = each(*(lambda n=n: look(n) for n in ('django', 'grpc', 'pydantic', 'django_codemode', 'tests')))
            seen = []
            for folder in sys.path:
                for path, folders, files in os.walk(folder):
                    seen += [f'{path}/{f}' for f in files if f in ('.env', 'settings.py', 'manage.py')]
            seen += [p for p in PROJECT if os.access(p, os.R_OK) and tell(lambda: open(p).read(1)) not in ('EACCES', 'ENOENT')]
            return imports + ' ' + ' '.join(seen)
        """,
        expected="ModuleNotFoundError ",
    ),
)
