"""The class mode of a recording session: who reads, entered with their consent before they are recorded."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dimts.base.project import Project
from dimts.web import speakers
from dimts.web.components import TabContext
from dimts.web.markup import notice


def build(page: TabContext) -> Any:
    """Lay it out and bind it; returns the field that holds the name of who reads now, "" for the project's
    own speaker."""
    strings = page.strings
    now = gr.Dropdown([(strings("class.one"), "")], value="", label=strings("class.now"), elem_id="class-now",
                      interactive=True)  # fmt: skip
    with gr.Accordion(strings("class.title"), open=False, elem_id="class"):
        gr.Markdown(strings("class.info"))
        with gr.Row():
            name = gr.Textbox(label=strings("class.name"), max_length=speakers.MAX_NAME_LETTERS,
                              elem_id="class-name",
                              min_width=180)  # fmt: skip
            consent = gr.Textbox(label=strings("class.consent"), info=strings("class.consent.info"),
                                 max_length=speakers.MAX_CONSENT_LETTERS, elem_id="class-consent",
                                 min_width=240)  # fmt: skip
        add = gr.Button(strings("class.add"), elem_id="class-add")
        status = gr.HTML(elem_id="class-status")
        table = gr.Dataframe(
            headers=[strings("class.name"), strings("class.consent")], datatype="str", interactive=False,
            label=strings("class.table"), elem_id="class-table", max_height=260, wrap=True,
        )  # fmt: skip

    def on_add(project: str | None, who: str, how: str) -> Any:
        found = speakers.add(page.project(project), who, how)
        entered = " ".join(who.split())
        added = notice(strings("class.added", name=entered), "good")
        return [_offered(page, found, entered), _rows(found), "", "", added]

    def on_open(project: Project) -> Any:
        found = speakers.speakers(project)
        return [_offered(page, found, ""), _rows(found)]

    for event in (add.click, consent.submit):
        page.on(
            event, on_add, [page.picker, name, consent], [now, table, name, consent, status], errors=status
        )
    page.shows(on_open, [now, table])
    return now


def _offered(page: TabContext, found: list[speakers.SpeakerConsent], chosen: str) -> Any:
    names = [one.name for one in found]
    choices = [(page.strings("class.one"), ""), *((name, name) for name in names)]
    return gr.update(choices=choices, value=chosen if chosen in names else "")


def _rows(found: list[speakers.SpeakerConsent]) -> list[list[str]]:
    return [[one.name, one.consent] for one in found] or [["", ""]]
