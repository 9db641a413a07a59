"""One sound for a telephone in the same network: a small server of its own behind a key that works once.

Nothing listens before a person asks for it. The server answers on this machine's address in the local
network, on a port of its own, and knows one sound. The first browser that presses its button gets a cookie;
the key then opens nothing for any other. It ends after ten minutes, or when the next link is made.
"""

from __future__ import annotations

import contextlib
import html
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from dimts.base.errors import DimtsError
from dimts.web.strings import Strings

OPEN_SECONDS = 600.0
_CLIENT_SECONDS = 10.0
"""Longest wait on a client."""
_COOKIE = "dimts-phone"
_NOWHERE = ("192.0.2.1", 9)
"""An address of RFC 5737: a UDP socket that is bound to it shows our own address and sends nothing."""
_STYLE = (
    "body{font:1.3rem system-ui,'Noto Sans Ethiopic','Abyssinica SIL',Nyala,Kefa,Ebrima,sans-serif;"
    "display:grid;place-content:center;min-height:90vh;text-align:center;color:#14795c;background:#fff}"
    "b{font-size:4rem}audio{width:min(90vw,480px)}button{font:inherit;padding:14px 28px;border:0;"
    "border-radius:10px;background:#14795c;color:#fff}"
)


def local_address() -> str:
    """This machine's address in its network. DimtsError where it is in none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(_NOWHERE)
            address: str = sock.getsockname()[0]
        except OSError as error:
            raise DimtsError("web.no_local_network") from error
    if address.startswith(("127.", "0.")):
        raise DimtsError("web.no_local_network")
    return address


@dataclass
class PhoneLink:
    """A sound that one telephone may play."""

    sound: Path
    strings: Strings
    key: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    cookie: str = ""
    """What the browser that used the key knows itself by; "" while nobody has."""
    server: ThreadingHTTPServer | None = None
    address: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _timer: threading.Timer | None = None

    def open(self, host: str) -> None:
        """Listen on an address of this machine. DimtsError if that cannot be."""
        try:
            self.server = _Server((host, 0), _Handler)
        except OSError as error:
            raise DimtsError("web.phone_cannot_listen", host=host, reason=error.strerror or "") from error
        self.server.link = self  # type: ignore[attr-defined]
        self.address = f"http://{host}:{self.server.server_address[1]}/{self.key}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self._timer = threading.Timer(OPEN_SECONDS, self.close)
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """Stop listening."""
        if self._timer is not None:
            self._timer.cancel()
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def use(self) -> str:
        """Spend the key: the cookie for the browser that did; "" if it is spent already."""
        with self._lock:
            if self.cookie:
                return ""
            self.cookie = secrets.token_urlsafe(18)
            return self.cookie


class PhoneLinks:
    """The one link of a page that may be open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: PhoneLink | None = None

    def open(self, sound: Path, strings: Strings, host: str | None = None) -> PhoneLink:
        """Close the link before and open one for a sound. Raises as `local_address` and `PhoneLink.open`."""
        with self._lock:
            self._close()
            link = PhoneLink(sound, strings)
            link.open(host or local_address())
            self._now = link
        return link

    def close(self) -> None:
        """Close the link, if there is one."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._now is not None:
            self._now.close()
            self._now = None


def qr_code(address: str) -> str:
    """An address as a QR code: SVG, dark on white with its margin, whatever the page's colours."""
    from dimts.base.plugins import require

    segno = require("segno", "ui")
    drawn: str = segno.make(address, error="m").svg_inline(scale=6, border=4, dark="#000", light="#fff")
    return drawn


class _Server(ThreadingHTTPServer):
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    timeout = _CLIENT_SECONDS
    server_version, sys_version = "dimts", ""

    @property
    def link(self) -> PhoneLink:
        found: PhoneLink = self.server.link  # type: ignore[attr-defined]
        return found

    def do_GET(self) -> None:
        """Answer with the button, the player or the sound."""
        link, known = self.link, self._known()
        if self.path == f"/{link.key}/sound.mp3" and known:
            self._sound()
        elif self.path == f"/{link.key}" and known:
            name = html.escape(link.strings("phone.sound"), quote=True)
            self._page(
                f'<p><audio controls autoplay aria-label="{name}" src="/{link.key}/sound.mp3"></audio></p>'
            )
        elif self.path == f"/{link.key}" and not link.cookie:
            # a button, so that a programme that looks at links beforehand does not spend the key
            self._page(
                f'<form method="post"><button>{html.escape(link.strings("phone.listen"))}</button></form>'
            )
        else:
            self._page(f"<p>{html.escape(link.strings('phone.spent'))}</p>", 404)

    def do_POST(self) -> None:
        """Spend the key."""
        cookie = self.link.use() if self.path == f"/{self.link.key}" else ""
        if not cookie:
            self._page(f"<p>{html.escape(self.link.strings('phone.spent'))}</p>", 404)
            return
        self.send_response(303)
        self.send_header("Location", f"/{self.link.key}")
        self.send_header("Set-Cookie", f"{_COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Strict")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *values: object) -> None:
        """Write nothing: addresses hold the key."""

    def _known(self) -> bool:
        try:
            given = SimpleCookie(self.headers.get("Cookie", "")).get(_COOKIE)
        except CookieError:
            return False
        cookie = self.link.cookie
        return bool(cookie) and given is not None and secrets.compare_digest(given.value, cookie)

    def _page(self, inner: str, status: int = 200) -> None:
        language = self.link.strings.language
        body = (
            f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>dimts</title>'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
            f"<main><b>ድምፅ</b>{inner}</main></html>"
        ).encode()
        policy = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'; form-action 'self'"
        self.send_response(status)
        for name, value in (
            ("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"), ("Content-Security-Policy", policy),
            ("Referrer-Policy", "no-referrer"),
        ):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _sound(self) -> None:
        """The sound, or the part of it that is asked for: telephones ask for parts."""
        try:
            body = self.link.sound.read_bytes()
        except OSError:
            self._page("", 404)
            return
        part = next(_range(self.headers.get("Range", ""), len(body)), None)
        first, last = part or (0, len(body) - 1)
        self.send_response(206 if part else 200)
        self.send_header("Content-Type", "audio/mpeg")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        if part:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        self.end_headers()
        with contextlib.suppress(OSError):  # it was closed meanwhile
            self.wfile.write(body[first : last + 1])


def _range(text: str, size: int) -> Iterator[tuple[int, int]]:
    """First and last byte of a single range (RFC 9110, 14.1.2); nothing for one that is not understood."""
    unit, _, part = text.partition("=")
    start, dash, end = part.partition("-")
    if (
        unit.strip() != "bytes"
        or not dash
        or not all(one.isascii() and one.isdigit() for one in (start, end) if one)
    ):
        return
    if start:
        first, last = int(start), min(int(end), size - 1) if end else size - 1
    elif end:
        first, last = max(0, size - int(end)), size - 1
    else:
        return
    if first <= last:
        yield first, last
