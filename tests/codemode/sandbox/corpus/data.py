"""numpy and pandas, in the profile that has them."""

from __future__ import annotations

from datetime import datetime

from tests.codemode.sandbox.corpus.program import Program

__all__ = ["PROGRAMS"]

_SALES = """
import pandas as pd
sales = pd.DataFrame({
    'sku': ['tea', 'cup', 'tea', 'pot', 'cup', 'tea'],
    'shop': ['Oslo', 'Oslo', 'Bonn', 'Bonn', 'Bonn', 'Oslo'],
    'count': [2, 1, 5, 1, 3, 4],
    'price': [2.5, 6.0, 2.5, 20.0, 6.0, 2.5],
})
sales['total'] = sales['count'] * sales['price']
"""

PROGRAMS = (
    Program("numpy sums", "import numpy as np\nint(np.arange(101).sum())", 5050),
    Program(
        "numpy statistics",
        "import numpy as np\na = np.array([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])\n[float(a.mean()), float(a.std()), float(np.median(a))]",
        [5.0, 2.0, 4.5],
    ),
    Program(
        "numpy linear algebra",
        "import numpy as np\nx = np.linalg.solve(np.array([[3.0, 1.0], [1.0, 2.0]]), np.array([9.0, 8.0]))\n[round(float(v), 9) for v in x]",
        [2.0, 3.0],
    ),
    Program(
        "numpy matrices in BLAS",
        "import numpy as np\na = np.ones((200, 200))\nfloat((a @ a).trace())",
        40_000.0,
    ),
    Program(
        "numpy broadcasting",
        "import numpy as np\n(np.arange(3)[:, None] * np.arange(4)).tolist()",
        [[0, 0, 0, 0], [0, 1, 2, 3], [0, 2, 4, 6]],
    ),
    Program(
        "numpy masks",
        "import numpy as np\na = np.arange(10)\n[a[a % 3 == 0].tolist(), int(np.where(a > 6, a, 0).sum())]",
        [[0, 3, 6, 9], 24],
    ),
    Program(
        "numpy transforms",
        "import numpy as np\n[round(abs(v), 6) for v in np.fft.fft([1, 0, -1, 0]).tolist()]",
        [0.0, 2.0, 0.0, 2.0],
    ),
    Program(
        "numpy polynomials",
        "import numpy as np\nsorted(round(float(r), 6) for r in np.polynomial.Polynomial([6, -5, 1]).roots())",
        [2.0, 3.0],
    ),
    Program(
        "numpy seeded random numbers",
        "import numpy as np\na, b = (np.random.default_rng(7).integers(0, 100, 50).tolist() for _ in range(2))\n[a == b, len(set(a)) > 10]",
        [True, True],
    ),
    Program(
        "numpy files",
        "import numpy as np\nnp.save('a.npy', np.arange(5))\nint(np.load('a.npy').sum())",
        10,
    ),
    Program(
        "numpy memory maps",
        "import numpy as np\nm = np.memmap('m', dtype='int32', mode='w+', shape=4)\nm[:] = 3\nm.flush()\nnp.fromfile('m', dtype='int32').tolist()",
        [3, 3, 3, 3],
    ),
    Program(
        "pandas groups",
        _SALES + "sales.groupby('sku')['total'].sum().to_dict()",
        {"cup": 24.0, "pot": 20.0, "tea": 27.5},
    ),
    Program(
        "pandas pivot tables",
        _SALES
        + "sales.pivot_table(index='sku', columns='shop', values='count', aggfunc='sum', fill_value=0).astype(int).to_dict('index')",
        {
            "cup": {"Bonn": 3, "Oslo": 1},
            "pot": {"Bonn": 1, "Oslo": 0},
            "tea": {"Bonn": 5, "Oslo": 6},
        },
    ),
    Program(
        "pandas joins",
        _SALES
        + "names = pd.DataFrame({'sku': ['tea', 'cup'], 'name': ['Tea', 'Cup']})\n"
        + "m = sales.merge(names, on='sku', how='left')\n[int(m['name'].isna().sum()), sorted(m['name'].dropna().unique().tolist())]",
        [1, ["Cup", "Tea"]],
    ),
    Program(
        "pandas queries and sorting",
        _SALES
        + "sales.query('total > 9').sort_values(['total', 'sku'], ascending=[False, True])[['sku', 'total']].values.tolist()",
        [["pot", 20.0], ["cup", 18.0], ["tea", 12.5], ["tea", 10.0]],
    ),
    Program(
        "pandas csv",
        "import io, pandas as pd\nf = pd.read_csv(io.StringIO('a,b\\n1,x\\n2,\\n'))\nf.to_csv('out.csv', index=False)\n[int(f['a'].sum()), open('out.csv').read()]",
        [3, "a,b\n1,x\n2,\n"],
    ),
    Program(
        "pandas json",
        "import io, pandas as pd\npd.read_json(io.StringIO('[{\"a\": 1}, {\"a\": 2}]')).to_dict('records')",
        [{"a": 1}, {"a": 2}],
    ),
    Program(
        "pandas dates",
        "import pandas as pd\ns = pd.Series([1, 2, 3, 4], index=pd.date_range('2026-01-30', periods=4, freq='D'))\n[s.resample('MS').sum().tolist(), s.index[-1].to_pydatetime()]",
        [[3, 7], datetime(2026, 2, 2)],
    ),
    Program(
        "pandas time zones",
        "import pandas as pd\npd.Timestamp('2026-07-01 12:00', tz='Europe/Oslo').tz_convert('UTC').isoformat()",
        "2026-07-01T10:00:00+00:00",
    ),
    Program(
        "pandas rolling windows",
        "import pandas as pd\npd.Series([1.0, 2.0, 3.0, 4.0]).rolling(2).mean().dropna().tolist()",
        [1.5, 2.5, 3.5],
    ),
    Program(
        "pandas as text",
        "import pandas as pd\npd.DataFrame({'a': [1], 'b': ['x']}).to_string(index=False)",
        " a b\n 1 x",
    ),
    Program(
        "tables as they are",
        _SALES
        + "(sales.groupby('sku').total.sum(), sales[sales.price > 5][['sku', 'price']], sales['sku'].head(2))",
        (
            {"cup": 24.0, "pot": 20.0, "tea": 27.5},
            [
                {"sku": sku, "price": price}
                for sku, price in (("cup", 6.0), ("pot", 20.0), ("cup", 6.0))
            ],
            ["tea", "cup"],
        ),
    ),
    Program(
        "arrays as they are",
        "import numpy as np\n{'a': np.arange(4).reshape(2, 2), 'total': np.float32(2.5), np.int64(3): np.array([1j])}",
        {"a": [[0, 1], [2, 3]], "total": 2.5, 3: [1j]},
    ),
    Program(
        "dates by rules",
        "from dateutil.rrule import rrule, MONTHLY\nfrom datetime import datetime\n[d.month for d in rrule(MONTHLY, count=3, dtstart=datetime(2026, 11, 25))]",
        [11, 12, 1],
    ),
    Program(
        "packages that are not exposed do not exist",
        "found = []\nfor name in ('django', 'pydantic', 'grpc', 'pip', 'scipy'):\n    try:\n        __import__(name)\n    except ModuleNotFoundError:\n        continue\n    found.append(name)\nfound",
        [],
    ),
)
