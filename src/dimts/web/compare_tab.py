"""The tab *Compare*: two voices speak the same sentence as A and B; their names are shown after the last
sentence."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dimts.base.project import Project
from dimts.evaluate.sentences import SENTENCES
from dimts.web import compare, synthesis
from dimts.web.components import TabContext, sound
from dimts.web.markup import notice
from dimts.web.voice_names import voice_label

_FIRST_SENTENCES = 8


def build(page: TabContext) -> None:
    """Build the tab and bind its events."""
    strings = page.strings
    gr.Markdown(strings("compare.info"))
    with gr.Row():
        first = gr.Dropdown(
            [], label=strings("compare.first"), elem_id="compare-first", interactive=True, min_width=220
        )
        second = gr.Dropdown(
            [], label=strings("compare.second"), elem_id="compare-second", interactive=True, min_width=220
        )
    sentences = gr.Textbox(
        "\n".join(SENTENCES[:_FIRST_SENTENCES]),
        label=strings("compare.sentences"),
        lines=4,
        max_lines=10,
        elem_id="compare-sentences",
    )
    begin = gr.Button(strings("compare.begin"), variant="primary", elem_id="compare-begin")
    status = gr.HTML(elem_id="compare-status")
    with gr.Column(visible=False) as judged:
        text = gr.Textbox(label=strings("compare.sentence"), interactive=False, elem_id="compare-text")
        with gr.Row():
            a = gr.Audio(label="A", interactive=False, elem_id="compare-a", buttons=[], min_width=240)
            b = gr.Audio(label="B", interactive=False, elem_id="compare-b", buttons=[], min_width=240)
        with gr.Row():
            better_a = gr.Button(strings("compare.a"), elem_id="compare-better-a", min_width=120)
            tie = gr.Button(strings("compare.tie"), elem_id="compare-tie", min_width=120)
            better_b = gr.Button(strings("compare.b"), elem_id="compare-better-b", min_width=120)
    table = gr.Dataframe(
        headers=[strings(f"compare.column.{name}") for name in ("voice", "better", "share")],
        datatype="str",
        interactive=False,
        label=strings("compare.tally"),
        elem_id="compare-tally",
        visible=False,
    )
    now = gr.State(("", 0))
    places = [status, judged, text, a, b, table, now]

    def shown(project: Project, found: compare.BlindComparison) -> list[Any]:
        if found.over:
            tally = gr.update(value=_rows(page, found), visible=True)
            over = gr.update(visible=False)
            return [_result(page, found), over, "", None, None, tally, (found.id, found.at)]
        trial = found.trials[found.at]
        sounds = [_sound(page, project, name, trial.text) for name in found.voices(found.at)]
        where = strings("compare.at", number=found.at + 1, total=len(found.trials))
        hidden = gr.update(visible=False)
        return [notice(where), gr.update(visible=True), trial.text, *sounds, hidden, (found.id, found.at)]

    def on_begin(name: str | None, first: str, second: str, lines: str) -> Any:
        project = page.project(name)
        for voice in (first, second):
            synthesis.checked(project, voice)
        return shown(project, compare.begin(project, first, second, lines.splitlines()))

    def judging(verdict: str) -> Any:
        def on_judge(name: str | None, now: tuple[str, int]) -> Any:
            project = page.project(name)
            return shown(project, compare.judge(project, now[0], now[1], verdict))

        return on_judge

    page.on(
        begin.click,
        on_begin,
        [page.picker, first, second, sentences],
        places,
        errors=status,
        concurrency_limit=2,
    )
    for button, verdict in ((better_a, "a"), (tie, "tie"), (better_b, "b")):
        page.on(
            button.click, judging(verdict), [page.picker, now], places, errors=status, concurrency_limit=2
        )
    page.shows(lambda project: _offered(page, project), [status, first, second])
    page.quietly(
        page.job.change, lambda name: _offered_by_name(page, name), [page.picker], [status, first, second]
    )


def _offered_by_name(page: TabContext, name: str) -> Any:
    return _offered(page, page.project(name)) if name else [gr.skip()] * 3


def _offered(page: TabContext, project: Project) -> Any:
    names = synthesis.choices(project) + synthesis.checkpoints(project)
    choices = [(voice_label(page.strings, one), one) for one in names]
    alone = notice(page.strings("compare.one")) if len(names) == 1 else ""
    return [
        alone,
        gr.update(choices=choices, value=names[0]),
        gr.update(choices=choices, value=names[min(1, len(names) - 1)]),
    ]


def _sound(page: TabContext, project: Project, name: str, text: str) -> Any:
    """Synthesise the sentence with one voice; the same seed for both."""
    speaker = page.speakers.get(project, name, synthesis.settings_of(project))
    with page.speakers.turn:
        wave = speaker.say(text)
    return sound(wave)


def _rows(page: TabContext, found: compare.BlindComparison) -> list[list[str]]:
    tally = compare.tally(found)
    total = max(tally.first + tally.second, 1)
    counts = ((found.first, tally.first), (found.second, tally.second))
    rows = [[voice_label(page.strings, name), str(count), f"{count / total:.0%}"] for name, count in counts]
    return [*rows, [page.strings("compare.tie"), str(tally.ties), ""]]


def _result(page: TabContext, found: compare.BlindComparison) -> str:
    tally = compare.tally(found)
    return notice(page.strings("compare.over", chance=f"{tally.chance:.2f}"), "good")
