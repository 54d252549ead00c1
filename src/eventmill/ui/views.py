"""Templates: compiled once, escaping everything, refusing names that a page forgot to hand over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from eventmill import __version__
from eventmill.ui import charts, shown
from eventmill.ui.assets import Assets
from eventmill.ui.json_view import json_view
from eventmill.ui.standing import standing_of

_FOLDER = Path(__file__).parent / "templates"


class Views:
    def __init__(self, assets: Assets, known: Mapping[str, Any]) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
            cache_size=-1,
        )
        self._environment.globals.update(
            asset=assets.url,
            charts=charts,
            json_view=json_view,
            time=shown.time_tag,
            ago=shown.ago,
            duration=shown.duration,
            count=shown.count,
            size=shown.size,
            room_left=shown.room_left,
            text=shown.safe_text,
            standing_of=standing_of,
            version=__version__,
            **known,
        )

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        return self._environment.get_template(template).render(values)
