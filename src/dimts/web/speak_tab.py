"""The tab *Speak*: a text and a voice → sound that begins at once, its spectrogram, and files to take home."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from dimts.base.project import Project
from dimts.web import speaking
from dimts.web.components import TabContext, escaped, notice
from dimts.web.controls import of_tab

_EXAMPLE = "ሰላም ለዓለም። ዛሬ እንዴት ናችሁ?"


def build(page: TabContext) -> None:
    """Lay the tab out and bind it."""
    say = page.say
    text = gr.Textbox(
        _EXAMPLE, label=say("speak.text"), lines=3, max_lines=12, elem_id="speak-text", max_length=speaking.MAX_LETTERS
    )
    voice = gr.Dropdown(
        [(voice_label(page, speaking.FORMANT), speaking.FORMANT)],
        value=speaking.FORMANT,
        label=say("speak.voice"),
        elem_id="speak-voice",
        interactive=True,
    )
    page.controls("speak", per_row=4)
    keys = [one.key for one in of_tab("speak")]
    widgets = [page.widgets[key] for key in keys]
    with gr.Row():
        go = gr.Button(say("speak.go"), variant="primary", elem_id="speak-go")
        stop = gr.Button(say("speak.stop"), elem_id="speak-stop")
    told = gr.HTML(elem_id="speak-told")
    player = gr.HTML(elem_id="speak-player")
    with gr.Row():
        wav = gr.DownloadButton(say("speak.wav"), visible=False, elem_id="speak-wav")
        mp3 = gr.DownloadButton(say("speak.mp3"), visible=False, elem_id="speak-mp3")
    picture = gr.HTML(elem_id="speak-spectrogram")

    def on_go(name: str | None, text: str, voice: str, *values: Any) -> Iterator[Any]:
        project = page.project(name)
        page.save(project, keys, values)
        yield notice(say("speak.loading")), gr.skip(), gr.update(visible=False), gr.update(visible=False), ""
        speaker = page.speakers.get(project, voice, speaking.settings_of(project))
        token, stream = page.streams.open(page.home.cache / "heard")
        pieces = []
        with page.speakers.turn:
            for wave in speaking.spoken(speaker, text, stream):
                pieces.append(wave)
                if len(pieces) == 1:
                    yield notice(say("speak.speaking")), _player(page, token), gr.skip(), gr.skip(), gr.skip()
        from dimts.audio.wave import join

        whole = join(pieces)
        files = stream.path.with_suffix(".wav")
        whole.save(files)
        yield (
            notice(say("speak.done", seconds=f"{whole.seconds:.1f}"), "good"),
            gr.skip(),
            gr.update(value=_named(files, ".wav"), visible=True),
            gr.update(value=_named(stream.path, ".mp3"), visible=True),
            _picture(page, whole),
        )

    def offered(project: Project) -> Any:
        names = speaking.choices(project)
        return gr.update(choices=[(voice_label(page, name), name) for name in names], value=names[0])

    def again(name: str | None, chosen: str | None) -> Any:
        if not name:
            return gr.skip()
        names = speaking.choices(page.project(name))
        kept = chosen if chosen in names and chosen != speaking.FORMANT else names[0]
        return gr.update(choices=[(voice_label(page, one), one) for one in names], value=kept)

    run = page.on(
        go.click, on_go, [page.picker, text, voice, *widgets], [told, player, wav, mp3, picture],
        concurrency_limit=4, show_progress="minimal", show_progress_on=told,
    )  # fmt: skip
    page.quietly(stop.click, lambda: (notice(say("speak.stopped")), ""), [], [told, player], cancels=[run])
    page.shows(offered, [voice])
    page.quietly(page.job.change, again, [page.picker, voice], [voice])


def voice_label(page: TabContext, name: str) -> str:
    """How a voice is called on the page."""
    if name == speaking.FORMANT:
        return page.say("speak.formant")
    voice, _, checkpoint = name.partition(speaking.AT)
    return page.say("speak.checkpoint", name=voice, step=checkpoint) if checkpoint else name


def _player(page: TabContext, token: str) -> str:
    label = escaped(page.say("speak.player"))
    return f'<audio id="heard" controls autoplay aria-label="{label}" src="../hear/{escaped(token)}"></audio>'


def _picture(page: TabContext, wave: Any) -> str:
    from dimts.base.errors import MissingExtra
    from dimts.evaluate.plots import spectrogram

    try:
        picture = spectrogram(wave.samples, wave.rate)
    except MissingExtra as error:
        return notice(page.text(error.message))
    return f'<img class="picture" alt="{escaped(page.say("speak.spectrogram"))}" src="{escaped(picture)}">'


def _named(path: Path, suffix: str) -> str:
    """The file under a name that a person recognises."""
    named = path.parent / path.stem / f"dimts{suffix}"
    named.parent.mkdir(exist_ok=True)
    path.replace(named) if suffix == ".wav" else named.write_bytes(path.read_bytes())
    return str(named)
