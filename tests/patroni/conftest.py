"""The seconds that were measured are shown, not only asserted."""

from tests.e2e.conftest import pytest_terminal_summary

__all__ = ["pytest_terminal_summary"]
