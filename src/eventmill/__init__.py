"""Eventmill: a self-hosted event gateway that speaks the Adobe I/O Events wire contract."""

__version__ = "0.1.0"
