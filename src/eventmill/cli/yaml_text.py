"""YAML as commands read and write it: JSON is a part of it, times stay texts. Importing it takes long: do so late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from eventmill.cli.remote import Failed


class PlainLoader(yaml.SafeLoader):
    """Times stay texts, as in JSON."""


PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Raises `Failed` for a file of that name that is neither, with the line where it is known."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Failed(f"{name}:{line}: neither YAML nor JSON: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise Failed(f"{name}: neither YAML nor JSON: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise Failed(f"{name} is nested too deeply") from None


def yaml_text(value: object) -> str:
    """In the order of its members."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110)
    return text
