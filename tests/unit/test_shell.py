"""Texts of strangers as words of a shell command."""

from __future__ import annotations

import subprocess

import pytest

from eventmill.ui.shell import shell_word

NASTY = [
    "plain",
    'two words; rm -rf $HOME `id` "quoted" it\'s',
    "invoice\u202egnp.exe \u2066isolated\u2069 \u200b",
    "colour \x1b[31m\r\n\ttab \x85 \\ back'slash",
    "مرحبا",
]


@pytest.mark.parametrize("text", NASTY)
def test_a_shell_reads_the_text_again(text: str) -> None:
    """Whatever is in it comes out of bash as it was, and starts nothing."""
    command = f"printf %s {shell_word(text)}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, env={"LC_ALL": "C.UTF-8"}, timeout=10)
    assert done.stdout.decode() == text and not done.stderr


def test_what_cannot_be_seen_is_written_by_its_number() -> None:
    """Nothing turns the direction of what follows, or moves the cursor of a terminal."""
    assert shell_word("a\u202eb\x1bc") == "$'a\\u202eb\\x1bc'"
    assert shell_word("a b") == "'a b'"
