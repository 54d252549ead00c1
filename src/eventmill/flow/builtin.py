"""The built-in catalogue that a gateway runs with: the one of the package, an operator's file, or none."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from eventmill.config import MIB, Config
from eventmill.core.builtin import NOTHING_BUILT_IN, Builtin
from eventmill.core.builtin_file import read_builtin
from eventmill.core.builtin_text import CatalogueFileError
from eventmill.errors import StartupError
from eventmill.flow.catalogue import Catalogue
from eventmill.model import BUILTIN_ORG

OFF = "off"
_FILE_BYTES_MAX = 4 * MIB


def load_builtin(config: Config) -> Builtin:
    """Raises `StartupError` naming the file, what is wrong with it, and what to do."""
    if config.catalog == OFF:
        return NOTHING_BUILT_IN
    if not config.catalog:
        return read_builtin(files("eventmill").joinpath("builtin.json").read_bytes(), config.catalog_delivery_format)
    try:
        return read_builtin(_read(Path(config.catalog)), config.catalog_delivery_format)
    except CatalogueFileError as error:
        raise StartupError(
            f"the catalogue file {config.catalog} cannot be used: {error}. Mend the file, or start with --catalog off; "
            "docs/catalog.md describes the format."
        ) from None


def refuse_taken_ids(catalogue: Catalogue) -> None:
    """Raises `StartupError` when an organization's own provider has the id of a built-in one."""
    for each in catalogue.builtin.providers:
        known = catalogue.provider(each.provider.id)
        if known is not None and known.org != BUILTIN_ORG:
            raise StartupError(
                f"the catalogue's provider {known.id} ({each.provider.label}) has the id of the provider {known.label} "
                f"of organization {known.org}. Give the provider in the catalogue file another id."
            )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise StartupError(
            f"the catalogue file {path} cannot be read: {os.strerror(error.errno or 0)}. Give --catalog a readable "
            'file, or "off", or leave it out for the built-in catalogue.'
        ) from error
    if len(text) > _FILE_BYTES_MAX:
        raise CatalogueFileError(f"is larger than {_FILE_BYTES_MAX} bytes")
    return text
