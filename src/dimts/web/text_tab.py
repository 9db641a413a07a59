"""The tab *Text*: show how a text is read, word by word, with the G2P backends, and correct words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from dimts.base.errors import TextError
from dimts.base.issue import Issue
from dimts.text.frontend import FrontendSettings, compare
from dimts.text.g2p.backend import Word
from dimts.web import backend_order
from dimts.web.components import TabContext
from dimts.web.frontends import frontend_of
from dimts.web.lexicon_editor import absences, brief, entries, fix, is_absent
from dimts.web.markup import notice

MAX_LETTERS = 5000
_EXAMPLE = "ሰላም ለዓለም። በ2017 ዓ.ም 3,500 ተማሪዎች ተመረቁ።"


def build(page: TabContext) -> None:
    """Build the tab and bind its events."""
    strings = page.strings
    written = gr.Textbox(
        _EXAMPLE,
        label=strings("text.written"),
        lines=3,
        max_lines=12,
        elem_id="text-written",
        max_length=MAX_LETTERS,
    )
    with gr.Row():
        read = gr.Button(strings("text.read"), variant="primary", elem_id="text-read")
        ask = gr.Button(strings("text.ask_all"), elem_id="text-ask-all")
    reading = gr.HTML(elem_id="text-status")
    spoken = gr.Textbox(
        label=strings("text.spoken"), lines=2, interactive=False, elem_id="text-spoken", buttons=["copy"]
    )
    words = _words_table(page)
    absent = gr.Textbox(
        label=strings("text.absent"), lines=1, interactive=False, visible=False, elem_id="text-absent"
    )
    others = _answers_table(page)
    word, phones, note, force, keep, status, own = _correction(page)
    with gr.Accordion(strings("text.settings"), open=False):
        page.controls("text")
    backend_order.build(page, "text")

    def on_read(name: str | None, text: str) -> Any:
        phrases = list(frontend_of(page.project(name) if name else None)(_checked(text)))
        rows = [_row(page, word) for phrase in phrases for word in phrase.words]
        missing = absences((word for phrase in phrases for word in phrase.words), page.strings.language)
        missing_now = gr.update(value="\n".join(missing), visible=bool(missing))
        return "\n".join(phrase.spoken for phrase in phrases), rows, missing_now

    def on_ask(name: str | None, text: str) -> Any:
        settings = page.project(name).settings("text", FrontendSettings) if name else None
        rows = [
            [
                found.word.spoken if not at else "",
                answer.by,
                " ".join(answer.phones),
                _doubts(answer.doubts, page),
            ]
            for found in compare(_checked(text), settings)
            for at, answer in enumerate(found.answers)
        ]
        return gr.update(value=rows, visible=True)

    def on_select(rows: Any, event: gr.SelectData) -> Any:
        row = _picked(rows, event)
        return (row[1], row[2]) if row else (gr.skip(), gr.skip())

    def on_save(name: str | None, word: str, phones: str, note: str, force: bool) -> Any:
        project = page.project(name)
        entry, replaced = fix(project, word, phones, note, force=force)
        text = strings("text.fix.saved", word=entry.word, phones=" ".join(entry.phones))
        if replaced:
            text += " " + strings(
                "text.fix.replaced", phones="; ".join(" ".join(old.phones) for old in replaced)
            )
        return notice(text, "good"), entries(project)

    page.on(
        read.click,
        on_read,
        [page.picker, written],
        [spoken, words, absent],
        errors=reading,
        concurrency_limit=4,
    )
    page.on(ask.click, on_ask, [page.picker, written], [others], errors=reading, concurrency_limit=2)
    page.quietly(words.select, on_select, [words], [word, phones])
    page.on(keep.click, on_save, [page.picker, word, phones, note, force], [status, own], errors=status)
    page.remember(written)
    page.shows(entries, [own])


def _correction(page: TabContext) -> tuple[Any, ...]:
    """Build word, phones, note, force, button, status and the lexicon's table, for correcting a word."""
    strings = page.strings
    with gr.Accordion(strings("text.fix"), open=True):
        gr.Markdown(strings("text.fix.info"))
        with gr.Row():
            word = gr.Textbox(label=strings("text.fix.word"), elem_id="fix-word", min_width=160)
            phones = gr.Textbox(label=strings("text.fix.phones"), elem_id="fix-phones", min_width=220)
            note = gr.Textbox(label=strings("text.fix.note"), elem_id="fix-note", min_width=160)
        force = gr.Checkbox(False, label=strings("text.fix.force"), elem_id="fix-force")
        keep = gr.Button(strings("text.fix.save"), elem_id="fix-save")
        status = gr.HTML(elem_id="lexicon-status")
        own = gr.Dataframe(
            headers=[strings(f"text.column.{name}") for name in ("word", "phones", "note")],
            datatype="str",
            interactive=False,
            label=strings("text.lexicon"),
            elem_id="text-lexicon",
            max_height=260,
        )
    return word, phones, note, force, keep, status, own


def _words_table(page: TabContext) -> Any:
    """Build the table of words: as written, as spoken, their phones, their backend and issues."""
    return gr.Dataframe(
        headers=[
            page.strings(f"text.column.{name}") for name in ("word", "spoken", "phones", "by", "doubts")
        ],
        datatype="str",
        interactive=False,
        label=page.strings("text.words"),
        elem_id="text-words",
        wrap=True,
        max_height=420,
        column_widths=["16%", "16%", "22%", "12%", "34%"],
    )


def _answers_table(page: TabContext) -> Any:
    """Build the table of every backend's answer for a word."""
    return gr.Dataframe(
        headers=[page.strings(f"text.column.{name}") for name in ("word", "backend", "phones", "doubts")],
        datatype="str",
        interactive=False,
        label=page.strings("text.others"),
        elem_id="text-others",
        wrap=True,
        max_height=420,
        visible=False,
        column_widths=["18%", "18%", "28%", "36%"],
    )


def _checked(text: str) -> str:
    if not text.strip():
        raise TextError("web.text_empty")
    if len(text) > MAX_LETTERS:
        raise TextError("web.text_too_long_to_read", letters=len(text))
    return text


def _row(page: TabContext, word: Word) -> list[str]:
    refused = [
        f"{one.by}: {''.join(one.phones)} ({_pair(page, one.doubts)})"
        for one in word.refused
        if not is_absent(one)
    ]
    own = [page.text(doubt.message) for doubt in word.doubts]
    return [word.written, word.spoken, " ".join(word.phones), word.by, "\n".join([*own, *refused])]


def _pair(page: TabContext, doubts: Sequence[Issue]) -> str:
    return "; ".join(page.text(doubt.message) for doubt in doubts)


def _doubts(doubts: Sequence[Issue], page: TabContext) -> str:
    return brief(_pair(page, doubts)) or page.strings("text.believed")


def _picked(rows: Any, event: gr.SelectData) -> list[str] | None:
    """Return the row that was selected in a table."""
    row = getattr(event, "row_value", None)
    if isinstance(row, list) and len(row) >= 3:
        return [str(cell) for cell in row]
    del rows
    return None
