"""A command on a host that can do less: ``lesser_host.py SPEC COMMAND ...``.

SPEC is a JSON object. ``answers`` maps system calls to the errno that they return.
``refused_limits`` are resource limits that cannot be set. ``only`` are the numbers of the only
system calls that are allowed. ``no_new_namespaces`` refuses clone with namespace flags as container
runtimes do. ``capabilities`` are the remaining ones, ``uid`` is the user to become, and ``threads``
is how many threads that user may have.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from codemode.sandbox.lockdown import privileges, seccomp  # run as a script
from codemode.sandbox.lockdown.syscall_numbers import NUMBERS
from codemode.sandbox.syscalls import (
    PR_SET_NO_NEW_PRIVS,
    prctl,
)

__all__ = ["main"]

_LOAD, _JUMP_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NEW_NAMESPACE = 0x7E020000
_PR_CAPBSET_DROP = 24


def main() -> None:
    """Apply the restrictions of the specification, then execute the command."""
    spec = json.loads(sys.argv[1])
    numbers = NUMBERS[os.uname().machine]
    code = [(_LOAD, 0, 0, 0)]
    for name, number in spec.get("answers", {}).items():
        code += [(_JUMP_EQUAL, 0, 1, numbers[name]), (_RETURN, 0, 0, _ERRNO | number)]
    if spec.get("no_new_namespaces"):
        code += [
            (_JUMP_EQUAL, 0, 3, numbers["clone"]),
            (_LOAD, 0, 0, 16),
            (_JUMP_ANY_BIT, 0, 1, _NEW_NAMESPACE),
            (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        ]
    for limit in spec.get("refused_limits", ()):
        # Refused only where new values are given: reading a limit is allowed.
        code += [
            (_JUMP_EQUAL, 0, 6, numbers["prlimit64"]),
            (_LOAD, 0, 0, 24),
            (_JUMP_EQUAL, 0, 3, limit),
            (_LOAD, 0, 0, 32),
            (_JUMP_EQUAL, 1, 0, 0),
            (_RETURN, 0, 0, _ERRNO | errno.EPERM),
            (_LOAD, 0, 0, 0),
        ]
    if "only" in spec:
        for number in spec["only"]:
            code += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
        code.append((_RETURN, 0, 0, _ERRNO | errno.EPERM))
    else:
        code.append((_RETURN, 0, 0, _ALLOW))
    if "threads" in spec:
        resource.setrlimit(resource.RLIMIT_NPROC, (spec["threads"], spec["threads"]))
    # Only root has capabilities to drop.
    if "capabilities" in spec and os.geteuid() == 0:
        for capability in set(range(41)) - set(spec["capabilities"]):
            prctl(_PR_CAPBSET_DROP, capability)
    if "uid" in spec:
        os.setgroups([])
        os.setresgid(spec["uid"], spec["uid"], spec["uid"])
        os.setresuid(spec["uid"], spec["uid"], spec["uid"])
    elif "capabilities" in spec and os.geteuid() == 0:
        privileges.set_capabilities(*spec["capabilities"])
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    seccomp.load(b"".join(struct.pack("=HBBI", *instruction) for instruction in code))
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
