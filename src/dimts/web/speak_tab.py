"""The tab *Speak*: synthesise a text with a voice, played at once, with spectrogram and files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from dimts.web import backend_order, samples, share, synthesis
from dimts.web.components import LAST, TabContext
from dimts.web.controls import of_tab
from dimts.web.markup import escaped, notice
from dimts.web.opening import EXAMPLE
from dimts.web.voice_names import voice_label


def build(page: TabContext) -> None:
    """Build the tab and bind its events."""
    strings = page.strings
    text = gr.Textbox(
        EXAMPLE,
        label=strings("speak.text"),
        lines=3,
        max_lines=12,
        elem_id="speak-text",
        max_length=synthesis.MAX_LETTERS,
    )
    voice = gr.Dropdown(
        [(voice_label(page.strings, name), name) for name in samples.built_in()],
        value=synthesis.FORMANT,
        label=strings("speak.voice"),
        elem_id="speak-voice",
        interactive=True,
    )
    with gr.Column(elem_classes=["expert"]):
        page.controls("speak", per_row=4)
    keys = [one.key for one in of_tab("speak")]
    widgets = [page.widgets[key] for key in keys]
    with gr.Row():
        go = gr.Button(strings("speak.go"), variant="primary", elem_id="speak-go")
        stop = gr.Button(strings("speak.stop"), elem_id="speak-stop")
    status = gr.HTML(elem_id="speak-status")
    player = gr.HTML(elem_id="speak-player")
    with gr.Row():
        wav = gr.DownloadButton(strings("speak.wav"), visible=False, elem_id="speak-wav")
        mp3 = gr.DownloadButton(strings("speak.mp3"), visible=False, elem_id="speak-mp3")
    picture = gr.HTML(elem_id="speak-spectrogram")
    spoken = gr.State("")  # the MP3 file of what was said last
    _folds(page, voice, spoken)

    def on_go(request: gr.Request, name: str | None, text: str, voice: str, *values: Any) -> Iterator[Any]:
        project = page.project(name) if name else None
        if name:
            page.save_changed(name, keys, values, request.session_hash)
        hide = gr.update(visible=False)
        yield notice(strings("speak.loading")), gr.skip(), hide, hide, "", gr.skip()
        speaker = page.speakers.get(project, voice, synthesis.settings_of(project))
        token, stream = page.streams.open(page.workspace.cache / "speech")
        pieces = []
        with page.speakers.turn:
            for wave in synthesis.spoken(speaker, text, stream):
                pieces.append(wave)
                if len(pieces) == 1:
                    yield notice(strings("speak.speaking")), _player(page, token), *[gr.skip()] * 4
        from dimts.audio.wave import join

        whole = join(pieces)
        files = stream.path.with_suffix(".wav")
        whole.save(files)
        yield (
            notice(strings("speak.done", seconds=f"{whole.seconds:.1f}"), "good"),
            gr.skip(),
            gr.update(value=_named(files, ".wav"), visible=True),
            gr.update(value=_named(stream.path, ".mp3"), visible=True),
            _picture(page, whole),
            str(stream.path),
        )

    def on_job(name: str | None, chosen: str | None) -> Any:
        """Update the voices; a new one is selected instead of the built-in one."""
        return _offered(page, name, None if chosen == synthesis.FORMANT else chosen)

    run = page.on(
        go.click, on_go, [page.picker, text, voice, *widgets], [status, player, wav, mp3, picture, spoken],
        errors=status, concurrency_limit=4, show_progress="minimal", show_progress_on=status,
    )  # fmt: skip
    page.quietly(
        stop.click, lambda: (notice(strings("speak.stopped")), ""), [], [status, player], cancels=[run]
    )
    page.remember(text)
    kept = gr.Textbox(visible=False, label="voice")  # filled by the browser from its own storage
    page.quietly(page.picker.change, partial(_offered, page), [page.picker, kept], [voice], errors=status,
                 js="(name, kept) => [name, dimts.kept(`voice-${name}`, '')]")  # fmt: skip
    keep_voice = "(name, voice) => dimts.keep(`voice-${name}`, voice)"
    voice.input(None, [page.picker, voice], [], js=keep_voice, **LAST)
    page.quietly(page.job.change, on_job, [page.picker, voice], [voice], errors=status, clear=False)


def _folds(page: TabContext, voice: Any, spoken: Any) -> None:
    """What stands below the sound: the order of backends, and what passes voice and sound on."""
    backend_order.build(page, "speak")
    with gr.Accordion(page.strings("share.voice"), open=False):
        share.voice(page, voice)
    with gr.Accordion(page.strings("phone.title"), open=False):
        share.telephone(page, spoken)


def _offered(page: TabContext, name: str | None, kept: str | None) -> Any:
    """Return the voices of the project; selects this browser's last choice, else the newest voice."""
    if not name:
        return gr.skip()
    names = synthesis.choices(page.project(name))
    chosen = kept if kept in names else names[0]
    return gr.update(choices=[(voice_label(page.strings, one), one) for one in names], value=chosen)


def _player(page: TabContext, token: str) -> str:
    label = escaped(page.strings("speak.player"))
    return (
        f'<audio id="speech" controls autoplay aria-label="{label}" src="../audio/{escaped(token)}"></audio>'
    )


def _picture(page: TabContext, wave: Any) -> str:
    from dimts.base.errors import MissingExtra
    from dimts.evaluate.plots import spectrogram

    try:
        picture = spectrogram(wave.samples, wave.rate)
    except MissingExtra as error:
        return notice(page.text(error.message))
    return (
        f'<img class="picture" alt="{escaped(page.strings("speak.spectrogram"))}" src="{escaped(picture)}">'
    )


def _named(path: Path, suffix: str) -> str:
    """Copy the file under a recognisable name."""
    named = path.parent / path.stem / f"dimts{suffix}"
    named.parent.mkdir(exist_ok=True)
    path.replace(named) if suffix == ".wav" else named.write_bytes(path.read_bytes())
    return str(named)
