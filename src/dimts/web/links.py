"""Check links from a text field: http or https, and on a shared page only of the public internet.

`dimts data add` fetches them. A page on loopback may fetch from this machine, as its user could; one with
other users may not fetch addresses that only this machine reaches. The address is looked up when the link is
given; a name that later resolves to another one is not detected.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from dimts.base.errors import SourceError

MAX_LINKS = 50
MAX_LETTERS = 2000


def links_of(text: str, *, open_to_others: bool) -> tuple[str, ...]:
    """Return the links in a text, one per line, each once. SourceError for one that is not allowed, or
    none."""
    links = tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not links:
        raise SourceError("web.no_link")
    if len(links) > MAX_LINKS:
        raise SourceError("web.too_many_links", count=len(links), max_links=MAX_LINKS)
    for link in links:
        _check(link, open_to_others=open_to_others)
    return links


def _check(link: str, *, open_to_others: bool) -> None:
    shown = link[:80]
    try:
        parts = urlsplit(link)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise SourceError("web.not_a_link", link=shown) from error
    good = parts.scheme in ("http", "https") and host and len(link) <= MAX_LETTERS and link.isprintable()
    if not good or any(letter.isspace() for letter in link):
        raise SourceError("web.not_a_link", link=shown)
    if parts.username or parts.password:
        raise SourceError("web.link_with_password", link=shown)
    if open_to_others and not _is_public(host):
        raise SourceError("web.link_into_own_network", link=shown)


def _is_public(host: str) -> bool:
    """Whether every address of a host is public; an unknown host is left to the fetch."""
    try:
        found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError):
        return not host.replace(".", "").isdigit()
    return all(ipaddress.ip_address(str(address[4][0]).partition("%")[0]).is_global for address in found)
