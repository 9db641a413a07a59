"""The tab *Storage*: what lies in the project and how large it is; each thing is renamed or deleted."""

from __future__ import annotations

import time
from typing import Any

import gradio as gr

from dimts.base.errors import ProjectError
from dimts.base.project import Project
from dimts.web import storage
from dimts.web.clock import with_time
from dimts.web.components import TabContext
from dimts.web.markup import notice

_MEGABYTE = 1e6
MAX_ROWS = 500


def build(page: TabContext) -> None:
    """Lay the tab out and bind it."""
    strings = page.strings
    gr.Markdown(strings("storage.info"))
    table = gr.Dataframe(
        headers=[strings(f"storage.column.{name}") for name in ("kind", "name", "size")], datatype="str",
        interactive=False, label=strings("storage.table"), elem_id="storage-table", wrap=True, max_height=420,
        column_widths=["24%", "52%", "24%"],
    )  # fmt: skip
    chosen = gr.Dropdown([], label=strings("storage.chosen"), elem_id="storage-chosen", interactive=True)
    frees = gr.HTML(elem_id="storage-frees")
    with gr.Row():
        name = gr.Textbox(label=strings("storage.new_name"), elem_id="storage-name", max_length=80,
                          min_width=200)  # fmt: skip
        rename = gr.Button(strings("storage.rename"), elem_id="storage-rename", min_width=140, scale=0)
    sure = gr.Checkbox(False, label=strings("storage.sure"), elem_id="storage-sure")
    delete = gr.Button(strings("storage.delete"), variant="stop", elem_id="storage-delete")
    status = gr.HTML(elem_id="storage-status")
    places = [table, chosen, frees, sure]

    def on_choose(project_name: str | None, key: str | None) -> Any:
        project = page.project(project_name)
        found = {item.key: item for item in storage.items(page.workspace, project)}
        return (_frees(page, found[key]) if key in found else ""), False

    def on_rename(project_name: str | None, key: str | None, wanted: str) -> Any:
        project = page.project(project_name)
        new = storage.rename(page.workspace, project, _chosen(key), wanted)
        whole = new.startswith("project/")
        shown = page.project(new.partition("/")[2]) if whole else project
        picked = (
            gr.update(choices=page.workspace.names(), value=new.partition("/")[2]) if whole else gr.skip()
        )
        done = notice(strings("storage.renamed", name=wanted.strip()), "good")
        return [*_listing(page, shown, new), "", done, picked, f"storage:{time.time_ns()}"]

    def on_delete(project_name: str | None, key: str | None, yes: bool) -> Any:
        if yes is not True:
            raise ProjectError("web.deletion_not_confirmed")
        project = page.project(project_name)
        freed = storage.delete(page.workspace, project, _chosen(key))
        done = notice(strings("storage.deleted", megabytes=f"{freed / _MEGABYTE:.1f}"), "good")
        if not str(key).startswith("project/"):
            return [*_listing(page, project, None), done, gr.skip(), f"storage:{time.time_ns()}"]
        names = page.workspace.names()
        picked = gr.update(choices=names, value=names[0] if names else None)
        rows = _listing(page, page.project(names[0]), None) if names else [[["", "", ""]], *_nothing()]
        return [*rows, done, picked, f"storage:{time.time_ns()}"]

    page.on(chosen.input, on_choose, [page.picker, chosen], [frees, sure], errors=status)
    after = [status, page.picker, page.job]
    page.on(rename.click, on_rename, [page.picker, chosen, name], [*places, name, *after], errors=status)
    page.on(delete.click, on_delete, [page.picker, chosen, sure], [*places, *after], errors=status)
    # weighing reads the whole folder: when the tab is opened, and not each time that a project is chosen
    page.quietly(page.tab.select, lambda name, key: _listing(page, page.project(name), key) if name else
                 [[["", "", ""]], *_nothing()], [page.picker, chosen], places, errors=status)  # fmt: skip
    page.quietly(page.picker.change, lambda name: _listing(page, page.project(name), None) if name else
                 [[["", "", ""]], *_nothing()], [page.picker], places, errors=status)  # fmt: skip


def _chosen(key: str | None) -> str:
    if not key:
        raise ProjectError("web.nothing_chosen")
    return key


def _nothing() -> list[Any]:
    return [gr.update(choices=[], value=None), "", False]


def _frees(page: TabContext, item: storage.StoredItem) -> str:
    text = page.strings("storage.frees", name=_title(page, item), megabytes=f"{item.bytes / _MEGABYTE:.1f}")
    return notice(f"{text} {page.strings(f'storage.with.{item.kind}')}")


def _listing(page: TabContext, project: Project, key: str | None) -> list[Any]:
    """Table, choices, what the chosen one would free, and no confirmation."""
    found = storage.items(page.workspace, project)
    rows = [
        [
            page.strings(f"storage.kind.{item.kind}"),
            _title(page, item),
            page.strings("storage.megabytes", megabytes=f"{item.bytes / _MEGABYTE:.1f}"),
        ]
        for item in found[:MAX_ROWS]
    ]
    offered = [
        (
            page.strings(
                "page.pair", name=page.strings(f"storage.kind.{item.kind}"), value=_title(page, item)
            ),
            item.key,
        )
        for item in found
    ]
    chosen = next((item for item in found if item.key == key), None)
    return [
        rows,
        gr.update(choices=offered, value=chosen.key if chosen else None),
        _frees(page, chosen) if chosen else "",
        False,
    ]


def _title(page: TabContext, item: storage.StoredItem) -> str:
    return with_time(page.strings, item.title, item.name) if item.kind == "run" else item.title
