"""Passing on what was made: a voice or the data set as a zip file, and the last sound on a telephone."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from dimts.base.errors import SynthesisError
from dimts.base.progress import Progress
from dimts.web import archive, phone
from dimts.web.components import TabContext
from dimts.web.markup import escaped, notice

LINKS = phone.PhoneLinks()
"""The one link to a telephone of this process."""
_FOLDER = "shared"


def voice(page: TabContext, voice_field: Any) -> None:
    """Lay out what makes a zip of the chosen voice, with the line that serves it."""
    strings = page.strings
    gr.Markdown(strings("share.voice.info"))
    go = gr.Button(strings("share.voice.go"), elem_id="share-voice")
    status = gr.HTML(elem_id="share-voice-status")
    file = gr.DownloadButton(strings("share.download"), visible=False, elem_id="share-voice-file")
    line = gr.Textbox(label=strings("share.serve"), info=strings("share.serve.info"), interactive=False,
                      visible=False, elem_id="share-serve", buttons=["copy"])  # fmt: skip

    def on_go(name: str | None, chosen: str, bar: Any = gr.Progress()) -> Any:  # noqa: B008
        project = page.project(name)
        made = archive.zip_voice(project, chosen, _fresh(page), _bar(page, bar))
        return (
            _made(page, made),
            gr.update(value=str(made), visible=True),
            gr.update(value=archive.serve_command(chosen), visible=True),
        )

    page.on(go.click, on_go, [page.picker, voice_field], [status, file, line], errors=status,
            concurrency_limit=1, show_progress_on=status)  # fmt: skip


def data(page: TabContext) -> None:
    """Lay out what exports the kept clips in another program's layout."""
    from dimts.data.export import LAYOUTS

    strings = page.strings
    gr.Markdown(strings("share.data.info"))
    offered = [(strings(f"share.layout.{name}"), name) for name in LAYOUTS]
    layout = gr.Dropdown(offered, value=next(iter(LAYOUTS)),
                         label=strings("share.layout"), elem_id="share-layout", interactive=True)  # fmt: skip
    go = gr.Button(strings("share.data.go"), elem_id="share-data")
    status = gr.HTML(elem_id="share-data-status")
    file = gr.DownloadButton(strings("share.download"), visible=False, elem_id="share-data-file")

    def on_go(name: str | None, chosen: str, bar: Any = gr.Progress()) -> Any:  # noqa: B008
        made = archive.zip_data(page.project(name), chosen, _fresh(page), _bar(page, bar))
        return _made(page, made), gr.update(value=str(made), visible=True)

    page.on(go.click, on_go, [page.picker, layout], [status, file], errors=status, concurrency_limit=1,
            show_progress_on=status)  # fmt: skip


def telephone(page: TabContext, spoken: Any) -> None:
    """Lay out what shows the last sound to a telephone; `spoken` is the state that holds its MP3 file."""
    strings = page.strings
    gr.Markdown(strings("phone.info", minutes=f"{phone.OPEN_SECONDS / 60:.0f}"))
    with gr.Row():
        go = gr.Button(strings("phone.go"), elem_id="phone-go")
        stop = gr.Button(strings("phone.stop"), elem_id="phone-stop")
    shown = gr.HTML(elem_id="phone-code")

    def on_go(path: str) -> str:
        if not path or not Path(path).is_file():
            raise SynthesisError("web.nothing_spoken_yet")
        link = LINKS.open(Path(path), strings)
        name = escaped(strings("phone.code"))
        return (
            f'<figure class="qr" role="img" aria-label="{name}">{phone.qr_code(link.address)}</figure>'
            + notice(strings("phone.opened", minutes=f"{phone.OPEN_SECONDS / 60:.0f}"), "good")
            + f'<p class="address" data-people>{escaped(link.address)}</p>'
        )

    def on_stop() -> str:
        LINKS.close()
        return notice(strings("phone.stopped"))

    page.on(go.click, on_go, [spoken], [shown], errors=shown)
    page.on(stop.click, on_stop, [], [shown], errors=shown)


def _fresh(page: TabContext) -> Path:
    """An empty folder for one zip; those before are deleted, as they may be large."""
    root = page.workspace.cache / _FOLDER
    shutil.rmtree(root, ignore_errors=True)
    folder = root / secrets.token_urlsafe(9)
    folder.mkdir(parents=True)
    return folder


def _bar(page: TabContext, bar: Any) -> Callable[[Progress], None]:
    def on_progress(progress: Progress) -> None:
        bar((int(progress.done), int(progress.total or 1)), desc=progress.stage_text(page.strings.language))

    return on_progress


def _made(page: TabContext, path: Path) -> str:
    size = f"{path.stat().st_size / 1e6:.1f}"
    return notice(page.strings("share.made", name=path.name, megabytes=size), "good")
