"""`dimts web`: the page in a browser, for those who have recordings and are no programmers."""

from __future__ import annotations

from pathlib import Path

import typer

from dimts.base.messages import Message
from dimts.cli.output import show


def register(app: typer.Typer) -> None:
    """Add the command `web`."""
    app.command("web")(web)


def web(
    folder: Path = typer.Argument(
        Path(),
        metavar="FOLDER",
        help="A project, or a folder of projects; default: this folder.",
        show_default=False,
    ),
    host: str = typer.Option(
        "127.0.0.1", "--host", help="Address to listen on; any but this machine's own needs --auth."
    ),
    port: int = typer.Option(7860, "--port", "-p", help="Port; 0 takes one that is free."),
    auth: Path | None = typer.Option(
        None,
        "--auth",
        metavar="FILE",
        help="File of user:password lines, readable by you alone; who is not in it sees nothing.",
        show_default=False,
    ),
    share: bool = typer.Option(
        False, "--share", help="Also open a public address for 3 days through gradio's tunnel; needs --auth."
    ),
    max_upload_mb: int = typer.Option(
        200, "--max-upload-mb", min=1, help="Largest file that may be uploaded."
    ),
    root_path: str = typer.Option(
        "",
        "--root-path",
        metavar="PATH",
        help="Path below which a proxy shows the page, e.g. /tts.",
        show_default=False,
    ),
    name: list[str] = typer.Option(
        [],
        "--name",
        metavar="HOST",
        help="Host name by which a proxy asks for the page; needs --auth.",
        show_default=False,
    ),
    proxy: list[str] = typer.Option(
        [],
        "--proxy",
        metavar="ADDRESS",
        help="Proxy whose X-Forwarded-Prefix and X-Forwarded-Proto are believed.",
        show_default=False,
    ),
    browser: bool = typer.Option(False, "--open", help="Open it in your browser."),
) -> None:
    """Open the page: from recordings to a voice in a browser, in Amharic and English.

    Everything it shows is stored in FOLDER, and everything it does is a dimts command: training continues
    when the page, the browser or the network is gone, and is found again.
    """
    from dimts.web.app import serve
    from dimts.web.settings import WebSettings

    def on_address(address: str) -> None:
        show(Message("web.page_at", address=address))
        if browser:
            import webbrowser

            webbrowser.open(address)

    settings = WebSettings(host, port, auth, max_upload_mb, share, root_path, tuple(name), tuple(proxy))
    serve(folder, settings, on_address)
