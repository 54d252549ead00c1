"""Takes passwords out of the command line that other people of the machine see, in `ps` and the like.

Overwrites them where Linux keeps the arguments of the running process; `sys.argv` stays as it is. Elsewhere they stay
in view: a URL with a password belongs in the environment, which only the same user can read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_PASSWORD = re.compile(r"(?<=://)(?:[^:/@]*):(.+)@|[?&](?:ssl)?password=([^&]+)")
_ARGUMENTS_BEGIN, _ARGUMENTS_END = 45, 46
"""Fields of /proc/PID/stat ("proc(5)": arg_start, arg_end), counted from behind the name of the program."""


def hide_passwords(arguments: Sequence[str]) -> None:
    secrets = [secret.encode() for each in arguments for secret in _passwords(each)]
    if not secrets:
        return
    try:
        fields = Path("/proc/self/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        begin, end = int(fields[_ARGUMENTS_BEGIN]), int(fields[_ARGUMENTS_END])
    except (OSError, IndexError, ValueError):
        return
    if not 0 < begin < end:
        return
    import ctypes  # costs a start that has no need of it

    shown = ctypes.string_at(begin, end - begin)
    for secret in secrets:
        at = shown.find(secret)
        while at >= 0:
            ctypes.memset(begin + at, ord("*"), len(secret))
            at = shown.find(secret, at + len(secret))


def without_passwords(url: str) -> str:
    """To be copied from a screen, which others see too."""
    for secret in _passwords(url):
        url = url.replace(secret, "***")
    return url


def _passwords(argument: str) -> list[str]:
    return [secret for found in _PASSWORD.findall(argument) for secret in found if secret]
