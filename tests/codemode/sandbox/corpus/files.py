"""Files, archives and databases, all in the sandbox's own /tmp."""

from __future__ import annotations

from tests.codemode.sandbox.corpus.program import Program

__all__ = ["PROGRAMS"]

PROGRAMS = (
    Program(
        "text files",
        "open('a.txt', 'w').write('é\\n2')\nwith open('a.txt') as f:\n    lines = f.read().splitlines()\nlines",
        ["é", "2"],
    ),
    Program(
        "pathlib",
        "from pathlib import Path\np = Path('d/e')\np.mkdir(parents=True)\n(p / 'f.txt').write_text('x')\n[[str(q) for q in Path('d').rglob('*.txt')], p.exists(), (p / 'f.txt').stat().st_size, Path.cwd() == Path('/tmp'), Path.home() == Path('/tmp')]",
        [["d/e/f.txt"], True, 1, True, True],
    ),
    Program(
        "seek and truncate",
        "with open('b', 'w+b') as f:\n    f.write(b'0123456789')\n    f.seek(2)\n    f.truncate(5)\n    f.seek(-2, 2)\n    result = f.read()",
        b"34",
    ),
    Program(
        # What pathlib tries, one after the other, before it copies by reading and writing.
        "quick ways to copy that are not there say so as expected",
        "import errno, fcntl, os\ndef fails(attempt):\n    try:\n        attempt()\n    except OSError as error:\n        return errno.errorcode[error.errno]\n"
        "with open(os.__file__, 'rb') as source, open('own', 'w+b') as own, open('copy', 'w+b') as copy:\n"
        "    clone = {fails(lambda f=f: fcntl.ioctl(copy, 0x40049409, f.fileno())) for f in (source, own)}\n"
        "    ranged = fails(lambda: os.copy_file_range(source.fileno(), copy.fileno(), 10))\n"
        "    sent = fails(lambda: os.sendfile(copy.fileno(), source.fileno(), 0, 10))\n"
        "[clone <= {'ENOTSUP', 'EXDEV'}, ranged in (None, 'EXDEV'), sent]",
        [True, True, "ENOTSOCK"],
    ),
    Program(
        "temporary files",
        "import tempfile\nwith tempfile.TemporaryFile() as f:\n    f.write(b'x')\n    f.seek(0)\n    a = f.read()\nwith tempfile.NamedTemporaryFile('w', suffix='.t') as f:\n    b = f.name.startswith('/tmp/') and f.name.endswith('.t')\n[a, b]",
        [b"x", True],
    ),
    Program(
        "temporary folders",
        "import tempfile, os\nwith tempfile.TemporaryDirectory() as d:\n    open(os.path.join(d, 'f'), 'w').close()\n    n = len(os.listdir(d))\n[n, os.path.exists(d)]",
        [1, False],
    ),
    Program(
        "spooled files",
        "import tempfile\nwith tempfile.SpooledTemporaryFile(max_size=4) as f:\n    f.write(b'123456')\n    f.seek(0)\n    result = f.read()",
        b"123456",
    ),
    Program(
        "rename between folders",
        "import os\nos.makedirs('x')\nos.makedirs('y')\nopen('x/f', 'w').close()\nos.rename('x/f', 'y/g')\nos.replace('y/g', 'x/h')\nsorted(os.listdir('x') + os.listdir('y'))",
        ["h"],
    ),
    Program(
        "links",
        "import os\nopen('t', 'w').write('target')\nos.symlink('t', 'l')\nos.link('t', 'h')\n[os.readlink('l'), open('l').read(), os.stat('h').st_nlink]",
        ["t", "target", 2],
    ),
    Program(
        "shutil",
        "import shutil, os, tempfile\nos.chdir(tempfile.mkdtemp())\nos.makedirs('s/t')\nopen('s/t/f', 'w').write('1')\nshutil.copytree('s', 'c')\nshutil.move('c/t/f', 'm')\nshutil.copy2('m', 'm2')\nshutil.rmtree('s')\n[sorted(os.listdir('.')), shutil.disk_usage('/tmp').total > 0]",
        [["c", "m", "m2"], True],
    ),
    Program(
        "walk and scandir",
        "import os\nos.makedirs('a/b')\nopen('a/b/c', 'w').close()\n[[d for d, _, _ in os.walk('a')], [e.name for e in os.scandir('a') if e.is_dir()]]",
        [["a", "a/b"], ["b"]],
    ),
    Program(
        "glob and fnmatch",
        "import glob, fnmatch\nfor n in 'ab1', 'ab2', 'c':\n    open(n, 'w').close()\n[sorted(glob.glob('ab*')), fnmatch.filter(['x.py', 'y.c'], '*.py')]",
        [["ab1", "ab2"], ["x.py"]],
    ),
    Program(
        "modes and times",
        "import os\nopen('m', 'w').close()\nos.chmod('m', 0o640)\nos.utime('m', (1, 2))\ns = os.stat('m')\n[oct(s.st_mode & 0o777), s.st_mtime]",
        ["0o640", 2.0],
    ),
    Program(
        "mmap",
        "import mmap\nopen('m', 'wb').write(b'abc' * 10)\nwith open('m', 'r+b') as f, mmap.mmap(f.fileno(), 0) as m:\n    m[:3] = b'XYZ'\n    i = m.find(b'abc')\n[i, open('m', 'rb').read(4)]",
        [3, b"XYZa"],
    ),
    Program(
        "file locks",
        "import fcntl\nwith open('l', 'w') as f:\n    fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n    fcntl.lockf(f, fcntl.LOCK_UN)\n    result = 'locked'",
        "locked",
    ),
    Program(
        "pipes and select",
        "import os, select\nr, w = os.pipe()\nos.write(w, b'hi')\n[select.select([r], [], [], 1)[0] == [r], os.read(r, 9)]",
        [True, b"hi"],
    ),
    Program(
        "selectors and socket pairs",
        "import selectors, socket\na, b = socket.socketpair()\ns = selectors.DefaultSelector()\ns.register(a, selectors.EVENT_READ)\nb.send(b'x')\nn = len(s.select(1))\ngot = a.recv(9)\na.close()\nb.close()\n[n, got]",
        [1, b"x"],
    ),
    Program(
        "zip archives",
        "import zipfile, io\nwith zipfile.ZipFile('z.zip', 'w', zipfile.ZIP_DEFLATED) as z:\n    z.writestr('a/b.txt', 'text' * 100)\nwith zipfile.ZipFile('z.zip') as z:\n    z.extractall('out')\n    names = z.namelist()\n[names, len(open('out/a/b.txt').read()), zipfile.is_zipfile('z.zip')]",
        [["a/b.txt"], 400, True],
    ),
    Program(
        "tar archives",
        "import tarfile, io\nopen('f', 'w').write('t')\nwith tarfile.open('t.tgz', 'w:gz') as t:\n    t.add('f')\nwith tarfile.open('t.tgz') as t:\n    t.extractall('o', filter='data')\nopen('o/f').read()",
        "t",
    ),
    Program(
        "compression",
        "import gzip, bz2, lzma, zlib\nd = b'abc' * 1000\n[m.decompress(m.compress(d)) == d for m in (gzip, bz2, lzma, zlib)]",
        [True] * 4,
    ),
    Program(
        "gzip files",
        "import gzip\nwith gzip.open('g.gz', 'wt') as f:\n    f.write('line\\n' * 3)\nwith gzip.open('g.gz', 'rt') as f:\n    result = len(f.readlines())",
        3,
    ),
    Program(
        "sqlite in memory",
        "import sqlite3\nc = sqlite3.connect(':memory:')\nc.execute('create table t (a, b)')\nc.executemany('insert into t values (?, ?)', [(1, 'x'), (2, 'y')])\n[c.execute('select sum(a), group_concat(b) from t').fetchone()]",
        [(3, "x,y")],
    ),
    Program(
        "sqlite in a file",
        "import sqlite3\nwith sqlite3.connect('d.db') as c:\n    c.execute('create table t (a)')\n    c.execute('insert into t values (7)')\nc.close()\nc = sqlite3.connect('d.db')\nr = c.execute('select a from t').fetchall()\nc.close()\nr",
        [(7,)],
    ),
    Program(
        "sqlite with a write-ahead log",
        "import sqlite3, os\na = sqlite3.connect('w.db')\nmode = a.execute('pragma journal_mode=wal').fetchone()[0]\na.execute('create table t (a)')\na.commit()\nb = sqlite3.connect('w.db')\na.execute('insert into t values (1)')\nbefore = b.execute('select count(*) from t').fetchone()[0]\na.commit()\nafter = b.execute('select count(*) from t').fetchone()[0]\nwal = os.path.exists('w.db-wal')\na.close()\nb.close()\n[mode, before, after, wal]",
        ["wal", 0, 1, True],
    ),
    Program(
        "sqlite roll back and functions",
        "import sqlite3\nc = sqlite3.connect('r.db')\nc.create_function('twice', 1, lambda x: x * 2)\nc.execute('create table t (a)')\nc.commit()\ntry:\n    with c:\n        c.execute('insert into t values (1)')\n        raise ValueError\nexcept ValueError:\n    pass\nr = [c.execute('select count(*) from t').fetchone()[0], c.execute('select twice(4)').fetchone()[0]]\nc.close()\nr",
        [0, 8],
    ),
    Program(
        "sqlite backup and rows",
        "import sqlite3\nc = sqlite3.connect(':memory:')\nc.row_factory = sqlite3.Row\nc.execute('create table t (a, b)')\nc.execute('insert into t values (1, 2)')\nc.commit()\nd = sqlite3.connect('copy.db')\nc.backup(d)\nn = d.execute('select b from t').fetchone()[0]\nd.close()\n[dict(c.execute('select * from t').fetchone()), n]",
        [{"a": 1, "b": 2}, 2],
    ),
    Program(
        "shelve and dbm",
        "import shelve\nwith shelve.open('s') as s:\n    s['k'] = [1, 2]\nwith shelve.open('s') as s:\n    result = s['k']",
        [1, 2],
    ),
    Program(
        "own modules",
        "import sys\nopen('mine.py', 'w').write('X = 5\\ndef f(): return X + 1')\nsys.path.insert(0, '/tmp')\nimport mine\nmine.f()",
        6,
    ),
    Program(
        "runpy",
        "import runpy\nopen('r.py', 'w').write('y = 2 + 2')\nrunpy.run_path('r.py')['y']",
        4,
    ),
    Program(
        "package resources",
        "import importlib.resources, email\nimportlib.resources.files(email).joinpath('charset.py').is_file()",
    ),
    Program(
        "csv file",
        "import csv\nwith open('c.csv', 'w', newline='') as f:\n    csv.DictWriter(f, ['a', 'b']).writerows([{'a': i, 'b': i * i} for i in range(3)])\nwith open('c.csv', newline='') as f:\n    result = sum(int(r[1]) for r in csv.reader(f))",
        5,
    ),
    Program(
        "a full disk is an error",
        "try:\n    with open('big', 'wb') as f:\n        for _ in range(64):\n            f.write(bytes(2**20))\nexcept OSError as error:\n    result = 'bounded'",
        "bounded",
    ),
    Program(
        "file descriptors",
        "import os\nfd = os.open('d', os.O_RDWR | os.O_CREAT)\nos.write(fd, b'abc')\nn = os.pread(fd, 2, 1)\nos.close(os.dup(fd))\nos.fsync(fd)\nos.close(fd)\nn",
        b"bc",
    ),
    Program(
        "faulthandler", "import faulthandler\nfaulthandler.enable()\nfaulthandler.is_enabled()"
    ),
)
