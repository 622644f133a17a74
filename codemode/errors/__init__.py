from codemode.errors.base import *  # noqa: F403
