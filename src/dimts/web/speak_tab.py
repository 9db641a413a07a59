"""The tab *Speak*: synthesise a text with a voice, played at once, with spectrogram and files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from dimts.base import builtin_voices
from dimts.web import synthesis
from dimts.web.components import TabContext, escaped, notice
from dimts.web.controls import of_tab

_EXAMPLE = "ሰላም ለዓለም። ዛሬ እንዴት ናችሁ?"


def build(page: TabContext) -> None:
    """Build the tab and bind its events."""
    strings = page.strings
    text = gr.Textbox(
        _EXAMPLE,
        label=strings("speak.text"),
        lines=3,
        max_lines=12,
        elem_id="speak-text",
        max_length=synthesis.MAX_LETTERS,
    )
    voice = gr.Dropdown(
        [(voice_label(page, name), name) for name in (synthesis.FORMANT, *builtin_voices.voices())],
        value=synthesis.FORMANT,
        label=strings("speak.voice"),
        elem_id="speak-voice",
        interactive=True,
    )
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

    def on_go(request: gr.Request, name: str | None, text: str, voice: str, *values: Any) -> Iterator[Any]:
        project = page.project(name) if name else None
        if name:
            page.save_changed(name, keys, values, request.session_hash)
        hidden = gr.update(visible=False)
        yield notice(strings("speak.loading")), gr.skip(), hidden, hidden, ""
        speaker = page.speakers.get(project, voice, synthesis.settings_of(project))
        token, stream = page.streams.open(page.workspace.cache / "speech")
        pieces = []
        with page.speakers.turn:
            for wave in synthesis.spoken(speaker, text, stream):
                pieces.append(wave)
                if len(pieces) == 1:
                    speaking = notice(strings("speak.speaking"))
                    yield speaking, _player(page, token), *[gr.skip()] * 3
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
        )

    def on_job(name: str | None, chosen: str | None) -> Any:
        """Update the voices; a new one is selected instead of the built-in one."""
        return _offered(page, name, None if chosen == synthesis.FORMANT else chosen)

    run = page.on(
        go.click, on_go, [page.picker, text, voice, *widgets], [status, player, wav, mp3, picture],
        errors=status, concurrency_limit=4, show_progress="minimal", show_progress_on=status,
    )  # fmt: skip
    page.quietly(
        stop.click, lambda: (notice(strings("speak.stopped")), ""), [], [status, player], cancels=[run]
    )
    page.remember("speak-text", text)
    kept = gr.Textbox(visible=False, label="voice")  # filled by the browser from its own storage
    page.quietly(page.picker.change, partial(_offered, page), [page.picker, kept], [voice], errors=status,
                 js="(name, kept) => [name, dimts.kept(`voice-${name}`, '')]")  # fmt: skip
    voice.input(None, [page.picker, voice], [], js="(name, voice) => dimts.keep(`voice-${name}`, voice)")
    page.quietly(page.job.change, on_job, [page.picker, voice], [voice], errors=status)


def _offered(page: TabContext, name: str | None, kept: str | None) -> Any:
    """Return the voices of the project; selects this browser's last choice, else the newest voice."""
    if not name:
        return gr.skip()
    names = synthesis.choices(page.project(name))
    chosen = kept if kept in names else names[0]
    return gr.update(choices=[(voice_label(page, one), one) for one in names], value=chosen)


def voice_label(page: TabContext, name: str) -> str:
    """Return the label of a voice."""
    if name == synthesis.FORMANT:
        return page.strings("speak.formant")
    if name in builtin_voices.voices():
        return page.strings("speak.builtin", name=name)
    voice, _, checkpoint = name.partition(synthesis.AT)
    return page.strings("speak.checkpoint", name=voice, step=checkpoint) if checkpoint else name


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
