"""Tests that sandboxes share what the zygote has preloaded, even when they use it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig

import pytest

from codemode import Codemode

pytestmark = pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="this build counts in another way"
)

# Counts the page faults of holding a reference to every object in the preloaded modules.
_USE_ALL = """
import resource, sys
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def hold(held, modules):
    before, place = faults(), 0
    for module in modules:
        for value in module.values():
            held[place] = value
            place += 1
    return faults() - before
modules = [vars(module) for name, module in sys.modules.items() if name != "__main__"]
held = [None] * sum(map(len, modules))
faults()
[hold(held, modules), len(held)]
"""

_STAND_ALONE = """
import gc, sys, weakref
from codemode.sandbox.sharing import share_objects
class Kept: pass
def counted(one):
    before = sys.getrefcount(one)
    held = [one] * 100
    return sys.getrefcount(one) - before
kept = Kept()
assert counted(kept) == 100
gone = []
weakref.finalize(kept, gone.append, 'kept')
share_objects()
assert not gc.isenabled()
for one in (kept, Kept, gone, gc.collect, share_objects, share_objects.__code__, sys.modules):
    assert counted(one) == 0, one
del kept
new = Kept()
assert counted(new) == 100
weakref.finalize(new, gone.append, 'new')
del new
assert gone == ['new'], gone
# The collector copes with them, even where the code takes them out of what is frozen.
gc.unfreeze()
loop = Kept()
loop.itself = loop
weakref.finalize(loop, gone.append, 'loop')
del loop
gc.collect()
assert gone == ['new', 'loop'], gone
"""


async def test_using_what_is_preloaded_copies_no_memory(codemode: Codemode) -> None:
    result = await codemode.run_async(_USE_ALL)
    faults, held = result.value
    assert held > 3000
    assert faults < 100


def test_shared_objects_live_for_ever_and_new_ones_do_not() -> None:
    subprocess.run([sys.executable, "-c", _STAND_ALONE], check=True, timeout=100)
