"""The tests: a folder for each room of the packages, and others for promises across rooms.

* ``codemode/``, ``django_codemode/``: what one room promises, in the folder of that name.
* ``concurrency/``: contexts, threads, loops, cancellation and closing, by every way to call.
* ``database/``: the transactions and connections of tools, on SQLite and on PostgreSQL.
* ``servers/``: requests to every kind of server, started for real.
* ``playground/``: the page in a real browser.
* ``example_project/``: the example that the README starts.
* ``typing/``: the public names as type checkers of users see them.
* ``benchmarks/``: speed and size, measured; its test only runs one.
* ``support/``: helpers of more than one folder, each module named after what it helps with.
* ``testapp/``, ``settings.py``, ``urls.py``: the Django project in which the tests run.

The files here hold promises of the whole: documents, layout, distribution and the README's path.
"""

from __future__ import annotations
