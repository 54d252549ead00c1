"""The only shared state: one protocol (`base`), an engine per package."""
