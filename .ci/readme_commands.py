"""The README's commands: the first two ``console`` blocks, one line each."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def readme_commands() -> list[str]:
    """Return the two commands. Raises ValueError unless each is a single line."""
    blocks = re.findall(
        r"^```console\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )[:2]
    commands = [block.strip().removeprefix("$ ") for block in blocks]
    if len(commands) != 2 or any("\n" in command for command in commands):
        raise ValueError(
            f"README.md opens with the console blocks {blocks!r}; expected two of one line each"
        )
    return commands


if __name__ == "__main__":
    print("\n".join(readme_commands()))
