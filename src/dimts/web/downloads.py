"""Fetch published weights from the page: a job that starts after the user has agreed to the licence.

An interrupted download continues when it is started again; every file is checked against its published
checksum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gradio as gr

from dimts.base.errors import DownloadError
from dimts.web.components import TabContext
from dimts.web.jobs import Jobs
from dimts.web.markup import escaped, notice

if TYPE_CHECKING:
    from dimts.xtts.hub import Published


def base_weights() -> Published:
    """Return the base weights of fine-tuning."""
    from dimts.xtts.download import XTTS_V2

    return XTTS_V2


def recogniser_weights() -> Published:
    """Return the weights of the recogniser for recordings without a text."""
    from dimts.data.recogniser_weights import WEIGHTS

    return WEIGHTS["large-v3"]


def build(page: TabContext, kind: str, published: Callable[[], Published]) -> None:
    """Build the form that fetches some weights: size, licence with its address, consent, button; `kind` is
    the job's."""
    strings = page.strings
    info = gr.HTML(elem_id=f"{kind}-info".replace("_", "-"))
    agreed = gr.Checkbox(False, label=strings("fetch.agree"), elem_id=f"{kind}-agree".replace("_", "-"))
    go = gr.Button(strings("fetch.go"), elem_id=f"{kind}-go".replace("_", "-"))
    status = gr.HTML(elem_id=f"{kind}-status".replace("_", "-"))

    def on_go(name: str | None, yes: bool) -> Any:
        if yes is not True:
            raise DownloadError("web.licence_not_agreed", licence=published().licence.name)
        Jobs(page.project(name)).start(kind)
        return notice(strings("jobs.asked"), "good")

    page.on(go.click, on_go, [page.picker, agreed], [status], errors=status)
    page.shows(lambda _: described(page, kind, published()), [info])
    page.quietly(page.job.change, lambda: described(page, kind, published()), [], [info])


def described(page: TabContext, kind: str, published: Published) -> str:
    """Describe some weights as HTML: contents, whether they exist here, size, and a link to the licence's
    text."""
    from dimts.xtts.download import find_base

    strings = page.strings
    try:
        find_base(published)
        state = strings("fetch.there")
    except DownloadError:
        state = strings("fetch.missing")
    size = sum(size for size, _ in published.files.values()) / 1e9
    licence = published.licence
    link = f'<a href="{escaped(licence.url)}" rel="noreferrer" target="_blank">{escaped(licence.name)}</a>'
    line = escaped(strings("fetch.info", name=published.repository, gigabytes=f"{size:.1f}", state=state))
    return f"<p>{line} {link}. {escaped(strings(f'fetch.licence.{kind}'))}</p>"
