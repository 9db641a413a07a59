"""Pictures of the training set: lengths, noise, speaking rate, speakers, phones; and in words what is
missing."""

from __future__ import annotations

import base64
from typing import Any

import gradio as gr

from dimts.base.errors import DataError
from dimts.base.project import Project
from dimts.web import clips
from dimts.web.components import TabContext
from dimts.web.markup import escaped, notice

_FILE = "set.png"


def build(page: TabContext) -> None:
    """Lay out a button that draws the kept clips, and the place for the picture."""
    strings = page.strings
    gr.Markdown(strings("pictures.info"))
    go = gr.Button(strings("pictures.go"), elem_id="pictures-go")
    shown = gr.HTML(elem_id="pictures")
    page.on(go.click, lambda name: picture(page, page.project(name)), [page.picker], [shown], errors=shown,
            concurrency_limit=1)  # fmt: skip
    page.quietly(page.picker.change, lambda: "", [], [shown])


def picture(page: TabContext, project: Project) -> Any:
    """HTML: what the set has and lacks in words, and its picture. DataError where no clip is kept."""
    from dimts.data.plots import draw
    from dimts.data.stats import Stats

    stats = Stats.of(clips.rows(project))
    if not stats.kept:
        raise DataError("data.nothing_to_draw")
    strings = page.strings
    lines = [
        strings("pictures.missing", phones=" ".join(stats.missing))
        if stats.missing
        else strings("pictures.whole"),
        *([strings("pictures.rare", phones=" ".join(stats.rare))] if stats.rare else []),
    ]
    file = draw(stats, page.workspace.cache / _FILE)
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    image = (
        f'<img class="picture" alt="{escaped(strings("pictures.alt"))}" src="data:image/png;base64,{data}">'
    )
    return "".join(map(notice, lines)) + image
