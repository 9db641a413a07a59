"""Which G2P backend is asked first: moved by buttons, beside a word that is typed and the backend that
answers.

It stands on every tab where words are read; each is the same line of dimts.toml.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from dimts.base.errors import ConfigError, TextError
from dimts.base.project import Project
from dimts.web import project_settings
from dimts.web.components import TabContext
from dimts.web.frontends import frontend_of
from dimts.web.markup import notice

KEY = "text.g2p.backends"
MAX_LETTERS = 80
_EXAMPLE = "ትምህርት"


def build(page: TabContext, place: str) -> None:
    """Lay it out on a tab and bind it; `place` is the tab's name."""
    strings = page.strings
    with gr.Accordion(strings("order.title"), open=False, elem_id=f"order-{place}"):
        gr.Markdown(strings("order.info"))
        listed = gr.Radio(
            [], label=strings("order.backends"), elem_id=f"order-{place}-list", interactive=True
        )
        with gr.Row():
            earlier = gr.Button(strings("order.earlier"), elem_id=f"order-{place}-earlier", min_width=120)
            later = gr.Button(strings("order.later"), elem_id=f"order-{place}-later", min_width=120)
        with gr.Row():
            word = gr.Textbox(_EXAMPLE, label=strings("order.word"), max_length=MAX_LETTERS,
                              elem_id=f"order-{place}-word", min_width=180)  # fmt: skip
            ask = gr.Button(strings("order.ask"), elem_id=f"order-{place}-ask", min_width=140, scale=0)
        answer = gr.HTML(elem_id=f"order-{place}-answer")
    seen = gr.State([])  # the order that is shown

    def moving(step: int) -> Any:
        def on_move(name: str | None, chosen: str | None, text: str) -> Any:
            project = page.project(name)
            now = moved(order(project), chosen, step)
            project_settings.put(project, {KEY: now})
            return _listing(page, project, chosen), _answer(page, project, text), now

        return on_move

    def on_ask(name: str | None, text: str) -> str:
        return _answer(page, page.project(name) if name else None, text)

    def on_change(name: str | None, chosen: str | None, before: list[str]) -> Any:
        if not name or (now := order(page.project(name))) == before:
            return [gr.skip()] * 3  # what this place has changed itself
        return _listing(page, page.project(name), chosen), "", now

    for button, step in ((earlier, -1), (later, 1)):
        page.on(
            button.click, moving(step), [page.picker, listed, word], [listed, answer, seen], errors=answer
        )
    for event in (ask.click, word.submit):
        page.on(event, on_ask, [page.picker, word], [answer], errors=answer, concurrency_limit=2)
    page.shows(lambda project: (_listing(page, project, None), order(project)), [listed, seen])
    # Changed on another tab of the page, in another browser, or by an editor. A list of several choices
    # reports a change at each update of the page, a text only when it differs.
    now = gr.Textbox(visible=False, label=f"order-{place}")
    page.widgets[KEY].change(None, [page.widgets[KEY]], [now], js="(names) => (names ?? []).join(' ')")
    page.quietly(now.change, on_change, [page.picker, listed, seen], [listed, answer, seen], errors=answer)


def order(project: Project) -> list[str]:
    """The backends of a project, the first one first."""
    return list(project_settings.get(project)[KEY])


def moved(names: list[str], chosen: str | None, step: int) -> list[str]:
    """The names with the chosen one a place earlier (-1) or later (1); at an end it stays.

    ConfigError where none is chosen, or one that is not there.
    """
    if chosen not in names:
        raise ConfigError("web.no_backend_chosen")
    at = names.index(chosen)
    to = min(max(at + step, 0), len(names) - 1)
    rest = [name for name in names if name != chosen]
    return [*rest[:to], chosen, *rest[to:]]


def _listing(page: TabContext, project: Project, chosen: str | None) -> Any:
    names = order(project)
    offered = [(f"{number}. {page.choice(KEY, name)}", name) for number, name in enumerate(names, start=1)]
    return gr.update(choices=offered, value=chosen if chosen in names else None)


def _answer(page: TabContext, project: Project | None, text: str) -> str:
    """Which backend answers for the first word of a text, what, and who was not believed before."""
    if not text.strip():
        raise TextError("web.text_empty")
    strings = page.strings
    words = [word for phrase in frontend_of(project)(text[:MAX_LETTERS]) for word in phrase.words]
    if not words:
        raise TextError("web.text_empty")
    word = words[0]
    line = strings(
        "order.answer", word=word.spoken, backend=page.choice(KEY, word.by), phones=" ".join(word.phones)
    )
    refused = ", ".join(dict.fromkeys(page.choice(KEY, one.by) for one in word.refused))
    return notice(line + (" " + strings("order.refused", backends=refused) if refused else ""), "good")
