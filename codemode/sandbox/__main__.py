"""The start of a zygote: ``python -s -P -S -B __main__.py CONTROL_FD SETTINGS``.

A file run by its path has no package around it, so this one only makes ours
importable and hands over.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

# Python has read it. The executed code finds no variable in its environment that it has no use for.
del os.environ["PYTHONHASHSEED"]

_settings = json.loads(sys.argv[2])
# The installed packages are importable only until the zygote's own modules are
# loaded. The executed code sees only the standard library and the packages that
# the profile exposes.
_paths = list(sys.path)
sys.path += _settings["import_path"]
_main = importlib.import_module("codemode.sandbox.zygote").main
sys.path[:] = _paths
_main(int(sys.argv[1]), _settings)
