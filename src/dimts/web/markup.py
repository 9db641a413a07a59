"""HTML of the page's small parts. Text of people and of files is escaped here."""

from __future__ import annotations

import html

from dimts.web.strings import Strings


def escaped(text: object) -> str:
    """Escape text for HTML."""
    return html.escape(str(text), quote=True)


def notice(text: str, kind: str = "info") -> str:
    """Format a line that a screen reader speaks when it changes; `text` is escaped here."""
    return (
        f'<p class="notice {escaped(kind)}" role="status" aria-live="polite">{escaped(text)}</p>'
        if text
        else ""
    )


def header(strings: Strings, *, expert: bool = True) -> str:
    """Return the line above every page: name, claim, the switch *Expert*, the other language."""
    code, name = strings.other
    switch = (
        f'<button type="button" id="expert" aria-pressed="false" onclick="dimts.expert()">'
        f"{escaped(strings('page.expert'))}</button>"
    )
    return (
        f'<header class="top"><h1><span class="mark" lang="am">ድምፅ</span> <strong>dimts</strong> '
        f'<span class="claim">{escaped(strings("page.claim"))}</span></h1>'
        f'<span class="switches">{switch if expert else ""}'
        f'<a href="../{code}/?chosen" lang="{code}" hreflang="{code}">{escaped(name)}</a></span></header>'
    )
