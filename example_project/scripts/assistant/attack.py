# What hostile code tries first.
import os
import re
import socket
import subprocess
from pathlib import Path


def users():
    text = Path("/etc/passwd").read_text()
    return "root:" in text, text.splitlines()[0]


def secrets():
    words = re.compile("KEY|PASSWORD|SECRET|TOKEN")
    names = [name for name in os.environ if words.search(name)]
    return bool(names), names or f"{len(os.environ)} variables, none secret"


def home():
    names = [name for name in os.listdir("/root") if f"/root/{name}/" not in os.__file__]
    return bool(names), names or "nothing but Python"


def other_processes():
    ids = [name for name in os.listdir("/proc") if name.isdigit()]
    others = [name for name in ids if int(name) != os.getpid()]
    read = [Path(f"/proc/{one}/environ").read_bytes() for one in others]
    return any(read), f"{len(others)} processes"


def web_server():
    address = ("127.0.0.1", 8000)
    with socket.create_connection(address, timeout=2) as connection:
        return True, connection.getpeername()


def shell():
    done = subprocess.run(["/bin/sh", "-c", "id"], capture_output=True)
    return True, done.stdout


def attempt(what, action):
    try:
        found, seen = action()
    except Exception as error:
        found, seen = False, f"{type(error).__name__}: {error}"
    return {"tried": what, "found": found, "seen": str(seen)[:80]}


[
    attempt("the users in /etc/passwd", users),
    attempt("secrets in the environment", secrets),
    attempt("the files in /root", home),
    attempt("the environments of other processes", other_processes),
    attempt("the web server on port 8000", web_server),
    attempt("a shell", shell),
]
