"""The tab *System*: the report of `dimts doctor` on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import gradio as gr

from dimts.base.errors import DimtsError
from dimts.web.components import TabContext
from dimts.web.workspace import run_command

_DOCTOR_SECONDS = 300.0


def build(page: TabContext) -> None:
    """Build the tab and bind its events."""
    strings = page.strings
    gr.Markdown(strings("system.info"))
    look = gr.Button(strings("system.look"), variant="primary", elem_id="system-look")
    status = gr.HTML(elem_id="system-status")
    table = gr.Dataframe(
        headers=[strings(f"system.column.{name}") for name in ("section", "name", "state", "more")],
        datatype="str",
        interactive=False,
        label=strings("system.table"),
        elem_id="system-table",
        wrap=True,
        max_height=900,
        column_widths=["18%", "20%", "12%", "50%"],
    )

    def on_look() -> list[list[str]]:
        folder = page.workspace.root.resolve()
        answer = run_command(["doctor", "--json"], folder, _DOCTOR_SECONDS, strings.language)
        try:
            rows = flat(json.loads(answer), strings("system.yes"), strings("system.no"))
        except ValueError as error:
            raise DimtsError("web.doctor_unreadable", reason=error) from error
        return [[_name(page, "section", row[0]), _name(page, "row", row[1]), *row[2:]] for row in rows]

    page.on(look.click, on_look, [], [table], errors=status, concurrency_limit=1)


def _name(page: TabContext, kind: str, name: str) -> str:
    """A section's or a line's name in the page's language; names of programs stay as they are."""
    key = f"system.{kind}.{name}"
    return page.strings(key) if page.strings.has(key) else name


def flat(report: Mapping[str, Mapping[str, Any]], yes: str, no: str) -> list[list[str]]:
    """Return the report as rows: section, name, usable or not, other values."""
    rows = []
    for section, lines in report.items():
        for name, value in lines.items():
            if isinstance(value, Mapping):
                usable = value.get("usable", value.get("installed"))
                rest = "; ".join(
                    str(part) for key, part in value.items() if key not in ("usable", "installed") and part
                )
                rows.append([section, name, yes if usable else no, rest])
            else:
                rows.append([section, name, "", str(value)])
    return rows
