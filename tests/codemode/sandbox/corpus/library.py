"""The standard library: data, text, time and numbers."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from tests.codemode.sandbox.corpus.program import Program

__all__ = ["PROGRAMS"]

PROGRAMS = (
    Program(
        "json",
        "import json\njson.loads(json.dumps({'a': [1, None, True, 'ü']}, indent=2))",
        {"a": [1, None, True, "ü"]},
    ),
    Program(
        "json with a default",
        "import json, datetime\njson.dumps({'d': datetime.date(2026, 1, 2)}, default=str, sort_keys=True)",
        '{"d": "2026-01-02"}',
    ),
    Program(
        "csv",
        "import csv, io\nrows = list(csv.DictReader(io.StringIO('a,b\\n1,\"x,y\"\\n')))\nout = io.StringIO()\nw = csv.writer(out)\nw.writerow(['q\"', 2])\n[rows, out.getvalue()]",
        [[{"a": "1", "b": "x,y"}], '"q""",2\r\n'],
    ),
    Program(
        "regular expressions",
        "import re\nm = re.match(r'(?P<y>\\d{4})-(?P<m>\\d\\d)', '2026-11-24')\n[m['y'], re.sub(r'\\b(\\w)', lambda m: m[1].upper(), 'ab cd'), re.findall(r'a+', 'aa b a'), re.split(r'[,;]\\s*', 'a, b;c')]",
        ["2026", "Ab Cd", ["aa", "a"], ["a", "b", "c"]],
    ),
    Program(
        "regular expression flags",
        "import re\n[bool(re.fullmatch('É', 'é', re.I)), re.compile('^b', re.M).findall('a\\nb')]",
        [True, ["b"]],
    ),
    Program(
        "decimal",
        "from decimal import Decimal, getcontext, ROUND_HALF_UP\ngetcontext().prec = 30\n[Decimal('0.1') + Decimal('0.2'), Decimal('2.345').quantize(Decimal('0.01'), ROUND_HALF_UP), Decimal(1) / 7]",
        [Decimal("0.3"), Decimal("2.35"), Decimal("0.142857142857142857142857142857")],
    ),
    Program(
        "fractions",
        "from fractions import Fraction\nstr(Fraction('0.75') + Fraction(1, 3))",
        "13/12",
    ),
    Program(
        "statistics",
        "import statistics as s\nd = [2, 4, 4, 4, 5, 5, 7, 9]\n[s.mean(d), s.median(d), s.pstdev(d), s.mode(d), s.quantiles(d, n=4)]",
        [5, 4.5, 2.0, 4, [4.0, 4.5, 6.5]],
    ),
    Program(
        "linear regression",
        "import statistics\nline = statistics.linear_regression([1, 2, 3], [3, 5, 7])\n[line.slope, line.intercept]",
        [2.0, 1.0],
    ),
    Program(
        "math",
        "import math\n[math.gcd(12, 18), math.comb(5, 2), math.isclose(math.sin(math.pi), 0, abs_tol=1e-9), math.prod([2, 3, 4]), math.dist([0, 0], [3, 4])]",
        [6, 10, True, 24, 5.0],
    ),
    Program(
        "random with a seed",
        "import random\nr = random.Random(42)\n[r.randint(1, 100), r.choice('abc')]",
        [82, "a"],
    ),
    Program(
        "random without",
        "import random, secrets, uuid\n[0 <= random.random() < 1, len(secrets.token_hex(8)), uuid.uuid4().version, secrets.randbelow(1)]",
        [True, 16, 4, 0],
    ),
    Program(
        "dates",
        "from datetime import date, timedelta\n[date(2024, 2, 28) + timedelta(2), date(2026, 11, 24).isocalendar().week, (date(2026, 1, 1) - date(2025, 1, 1)).days]",
        [date(2024, 3, 1), 48, 365],
    ),
    Program(
        "aware datetimes",
        "from datetime import datetime\nfrom zoneinfo import ZoneInfo\ndatetime(2026, 7, 1, 12, tzinfo=ZoneInfo('Europe/Oslo'))",
        datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Oslo")),
    ),
    Program(
        "time zones",
        "from datetime import datetime\nfrom zoneinfo import ZoneInfo, available_timezones\nt = datetime(2026, 1, 1, 0, tzinfo=ZoneInfo('UTC')).astimezone(ZoneInfo('America/New_York'))\n[t.isoformat(), len(available_timezones()) > 400, ZoneInfo('Asia/Kolkata').key]",
        ["2025-12-31T19:00:00-05:00", True, "Asia/Kolkata"],
    ),
    Program(
        "daylight saving",
        "from datetime import datetime, timedelta\nfrom zoneinfo import ZoneInfo\nz = ZoneInfo('Europe/Berlin')\n[datetime(2026, 3, 29, 1, tzinfo=z).utcoffset(), datetime(2026, 3, 29, 4, tzinfo=z).utcoffset()]",
        [timedelta(hours=1), timedelta(hours=2)],
    ),
    Program(
        "parsing dates",
        "from datetime import datetime\n[datetime.strptime('24 Nov 2026 17:05', '%d %b %Y %H:%M'), datetime.fromisoformat('2026-11-24T17:05:06')]",
        [datetime(2026, 11, 24, 17, 5), datetime(2026, 11, 24, 17, 5, 6)],
    ),
    Program(
        "calendar",
        "import calendar\n[calendar.monthrange(2024, 2), calendar.day_name[0], calendar.isleap(2100)]",
        [(3, 29), "Monday", False],
    ),
    Program(
        "clocks",
        "import time\na = time.perf_counter()\ntime.sleep(0.01)\n[time.perf_counter() - a >= 0.009, time.time() > 1.7e9, time.process_time() >= 0, time.strftime('%Y', time.gmtime(0))]",
        [True, True, True, "1970"],
    ),
    Program(
        "collections",
        "from collections import Counter, defaultdict, deque, OrderedDict, ChainMap\nd = defaultdict(list)\nd['a'].append(1)\nq = deque([1, 2, 3], maxlen=3)\nq.appendleft(0)\n[Counter('abca').most_common(1), dict(d), list(q), ChainMap({'x': 1}, {'x': 2, 'y': 3})['y']]",
        [[("a", 2)], {"a": [1]}, [0, 1, 2], 3],
    ),
    Program(
        "itertools",
        "import itertools as i\n[list(i.accumulate([1, 2, 3])), list(i.pairwise('abc')), [(k, len(list(g))) for k, g in i.groupby('aabbb')], len(list(i.product('ab', repeat=3))), list(i.batched(range(5), 2))]",
        [[1, 3, 6], [("a", "b"), ("b", "c")], [("a", 2), ("b", 3)], 8, [(0, 1), (2, 3), (4,)]],
    ),
    Program(
        "functools",
        "import functools\n@functools.cache\ndef f(n):\n    return n if n < 2 else f(n - 1) + f(n - 2)\n@functools.singledispatch\ndef g(x):\n    return 'object'\n@g.register\ndef _(x: int):\n    return 'int'\n[f(80), g(1), g(''), functools.reduce(lambda a, b: a * b, [1, 2, 3, 4]), functools.partial(pow, 2)(5)]",
        [23416728348467685, "int", "object", 24, 32],
    ),
    Program(
        "operator",
        "import operator\n[operator.itemgetter(1)('abc'), operator.attrgetter('real')(5), operator.methodcaller('upper')('a')]",
        ["b", 5, "A"],
    ),
    Program(
        "heapq and bisect",
        "import heapq, bisect\nh = [5, 1, 4]\nheapq.heapify(h)\na = [1, 3, 5]\nbisect.insort(a, 4)\n[heapq.heappop(h), heapq.nlargest(2, h), a, list(heapq.merge([1, 4], [2, 3]))]",
        [1, [5, 4], [1, 3, 4, 5], [1, 2, 3, 4]],
    ),
    Program(
        "copy and pickle",
        "import copy, pickle\na = {'x': [1, {2}]}\nb = copy.deepcopy(a)\nb['x'].append(3)\n[a, pickle.loads(pickle.dumps(b))]",
        [{"x": [1, {2}]}, {"x": [1, {2}, 3]}],
    ),
    Program(
        "pickle of a class of the code",
        "import pickle\nclass P:\n    def __init__(self):\n        self.v = 7\npickle.loads(pickle.dumps(P())).v",
        7,
    ),
    Program(
        "string helpers",
        "import string, textwrap, difflib\n[string.Template('$a!').substitute(a=1), textwrap.dedent('  a\\n  b'), textwrap.shorten('one two three', 9, placeholder='…'), difflib.get_close_matches('aple', ['apple', 'pear'])]",
        ["1!", "a\nb", "one two…", ["apple"]],
    ),
    Program(
        "unified diff",
        "import difflib\nlist(difflib.unified_diff(['a'], ['b'], lineterm=''))[-2:]",
        ["-a", "+b"],
    ),
    Program(
        "unicode",
        "import unicodedata\n[unicodedata.normalize('NFD', 'é').encode(), unicodedata.name('€'), 'ﬁ'.casefold()]",
        [b"e\xcc\x81", "EURO SIGN", "fi"],
    ),
    Program(
        "hashes",
        "import hashlib, hmac, zlib, binascii\n[hashlib.sha256(b'abc').hexdigest()[:8], hmac.new(b'k', b'm', 'sha256').hexdigest()[:4], zlib.crc32(b'abc'), hashlib.blake2b(b'', digest_size=4).hexdigest(), hashlib.md5(b'').hexdigest()[:6]]",
        ["ba7816bf", "b600", 891568578, "1271cf25", "d41d8c"],
    ),
    Program(
        "scrypt and pbkdf2",
        "import hashlib\n[len(hashlib.pbkdf2_hmac('sha256', b'p', b's', 1000)), len(hashlib.scrypt(b'p', salt=b's', n=16, r=1, p=1))]",
        [32, 64],
    ),
    Program(
        "encodings",
        "import base64, codecs, html, urllib.parse as u, quopri\n[base64.b64encode(b'hi').decode(), codecs.encode('abc', 'rot13'), html.escape('<&>'), u.quote('a b/é'), u.parse_qs('a=1&a=2'), 'ß'.encode('idna') and 'ok']",
        ["aGk=", "nop", "&lt;&amp;&gt;", "a%20b/%C3%A9", {"a": ["1", "2"]}, "ok"],
    ),
    Program(
        "character sets",
        "[t.encode(c) for t, c in (('é', 'latin-1'), ('日', 'shift_jis'), ('я', 'koi8-r'), ('a', 'utf-16-le'), ('中', 'gb18030'))]",
        [b"\xe9", b"\x93\xfa", b"\xd1", b"a\x00", b"\xd6\xd0"],
    ),
    Program(
        "struct and array",
        "import struct, array\n[struct.unpack('>IhB', struct.pack('>IhB', 1, -2, 3)), array.array('d', [1.5, 2]).tolist(), bytes(memoryview(b'abcd')[1:3])]",
        [(1, -2, 3), [1.5, 2.0], b"bc"],
    ),
    Program(
        "url parts",
        "from urllib.parse import urlsplit, urlencode, urljoin\nu = urlsplit('https://u@h.org:8/p?q=1#f')\n[u.hostname, u.port, urlencode({'a': 'x y'}), urljoin('http://a/b/c', '../d')]",
        ["h.org", 8, "a=x+y", "http://a/d"],
    ),
    Program(
        "ip addresses",
        "import ipaddress\nn = ipaddress.ip_network('10.0.0.0/29')\n[n.num_addresses, ipaddress.ip_address('10.0.0.5') in n, ipaddress.ip_address('::1').is_loopback]",
        [8, True, True],
    ),
    Program(
        "uuids",
        "import uuid\n[str(uuid.uuid5(uuid.NAMESPACE_DNS, 'a.b')), uuid.UUID(int=5).int]",
        ["0e7af403-ee0d-594b-ab31-08b1c687f2fa", 5],
    ),
    Program(
        "xml",
        "import xml.etree.ElementTree as E\nt = E.fromstring('<a x=\"1\"><b>t</b><b/></a>')\nE.SubElement(t, 'c').text = 'é'\n[t.get('x'), t.findtext('b'), len(t.findall('b')), E.tostring(t, 'unicode')]",
        ["1", "t", 2, '<a x="1"><b>t</b><b /><c>é</c></a>'],
    ),
    Program(
        "minidom and sax",
        "import xml.dom.minidom as m\nm.parseString('<a><b/></a>').documentElement.tagName",
        "a",
    ),
    Program(
        "html parser",
        "from html.parser import HTMLParser\nclass P(HTMLParser):\n    seen = []\n    def handle_starttag(self, tag, attrs):\n        self.seen.append([tag, dict(attrs)])\nP().feed('<p><a href=\"x\">')\nP.seen",
        [["p", {}], ["a", {"href": "x"}]],
    ),
    Program(
        "toml and ini",
        "import tomllib, configparser\nc = configparser.ConfigParser()\nc.read_string('[s]\\nk = v')\n[tomllib.loads('a = [1, 2]\\n[b]\\nc = 2026-01-01'), c['s']['k']]",
        [{"a": [1, 2], "b": {"c": date(2026, 1, 1)}}, "v"],
    ),
    Program(
        "email",
        "from email.message import EmailMessage\nfrom email import message_from_string\nm = EmailMessage()\nm['Subject'] = 'Grüße'\nm.set_content('text')\n[message_from_string(m.as_string()).get_payload().strip(), m['Subject']]",
        ["text", "Grüße"],
    ),
    Program(
        "pretty printing",
        "import pprint, reprlib\n[pprint.pformat({'b': 1, 'a': 2}), reprlib.repr(list(range(100)))]",
        ["{'a': 2, 'b': 1}", "[0, 1, 2, 3, 4, 5, ...]"],
    ),
    Program(
        "logging",
        "import logging, io\ns = io.StringIO()\nl = logging.getLogger('x')\nl.addHandler(logging.StreamHandler(s))\nl.warning('n=%d', 3)\ns.getvalue()",
        "n=3\n",
    ),
    Program(
        "warnings",
        "import warnings\nwith warnings.catch_warnings(record=True) as w:\n    warnings.simplefilter('always')\n    warnings.warn('careful', UserWarning)\n[str(x.message) for x in w]",
        ["careful"],
    ),
    Program(
        "argparse and shlex",
        "import argparse, shlex\np = argparse.ArgumentParser()\np.add_argument('--n', type=int)\n[vars(p.parse_args(['--n', '3'])), shlex.split('a \"b c\"')]",
        [{"n": 3}, ["a", "b c"]],
    ),
    Program(
        "graph order",
        "from graphlib import TopologicalSorter\nlist(TopologicalSorter({'c': {'b'}, 'b': {'a'}}).static_order())",
        ["a", "b", "c"],
    ),
    Program(
        "colours and numbers",
        "import colorsys, cmath, numbers\n[colorsys.rgb_to_hsv(1, 0, 0), round(cmath.phase(1j), 4), isinstance(3, numbers.Integral)]",
        [(0.0, 1.0, 1), 1.5708, True],
    ),
    Program(
        "unit tests",
        "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        self.assertEqual(1, 1)\nr = unittest.TestResult()\nunittest.defaultTestLoader.loadTestsFromTestCase(T).run(r)\n[r.testsRun, r.wasSuccessful()]",
        [1, True],
    ),
    Program(
        "doctest",
        "import doctest\ndoctest.run_docstring_examples('>>> 1 + 1\\n2\\n', {})\n'ran'",
        "ran",
    ),
    Program("timeit", "import timeit\ntimeit.timeit('1 + 1', number=10) >= 0"),
    Program(
        "profiling",
        "import cProfile, pstats, io\np = cProfile.Profile()\np.enable()\nsorted([3, 1])\np.disable()\ns = io.StringIO()\npstats.Stats(p, stream=s).print_stats()\n'sorted' in s.getvalue()",
    ),
    Program(
        "platform",
        "import platform, sys, os\n[platform.system(), platform.python_implementation(), sys.platform, os.name, bool(platform.platform())]",
        ["Linux", "CPython", "linux", "posix", True],
    ),
    Program(
        "locale",
        "import locale\nlocale.setlocale(locale.LC_ALL, 'C')\nlocale.format_string('%d', 1234)",
        "1234",
    ),
    Program(
        "ctypes",
        "import ctypes\nlibc = ctypes.CDLL(None)\n[libc.abs(-5), ctypes.sizeof(ctypes.c_long)]",
        [5, 8],
    ),
    Program(
        "resource usage",
        "import resource\n[resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0, resource.getrlimit(resource.RLIMIT_CORE)[0]]",
        [True, 0],
    ),
    Program(
        "garbage collection",
        "import gc\ngc.collect()\n[gc.isenabled(), len(gc.get_count())]",
        [True, 3],
    ),
    Program(
        "garden of imports",
        "import importlib\n[importlib.import_module(n).__name__ for n in ('wave', 'plistlib', 'gettext', 'netrc', 'mailbox', 'tracemalloc', 'symtable', 'zipapp', 'optparse', 'curses.ascii')]",
        [
            "wave",
            "plistlib",
            "gettext",
            "netrc",
            "mailbox",
            "tracemalloc",
            "symtable",
            "zipapp",
            "optparse",
            "curses.ascii",
        ],
    ),
    Program(
        "audio",
        "import wave, io, struct\nb = io.BytesIO()\nwith wave.open(b, 'wb') as w:\n    w.setparams((1, 2, 8000, 0, 'NONE', ''))\n    w.writeframes(struct.pack('<4h', 1, 2, 3, 4))\nwave.open(io.BytesIO(b.getvalue())).getnframes()",
        4,
    ),
    Program(
        "network is refused in words",
        "import urllib.request\ntry:\n    urllib.request.urlopen('http://127.0.0.1:1', timeout=60)\nexcept OSError as error:\n    result = 'refused'",
        "refused",
    ),
)
