"""Take the pictures of docs/web.md anew: the four steps and every tab of the page in both languages, wide and
narrow, with real content.

python tools/pictures.py [--home FOLDER] [--out docs/images] [--only prepare,train]

A project is made as a user makes one (`dimts new`, `data prepare`, `train`, on sentences that the formant
voice says), the page is served from it, and Chromium walks its tabs. `--home` keeps the project for the next
time.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = os.environ.get("DIMTS_CHROMIUM", "/usr/bin/chromium")
SIZES = (1280, 360)
LOCALES = {"am": "am-ET", "en": "en-GB"}
COLOURS = 48
"""Of a picture's palette: letters stay clear, files small."""
PATIENCE_MS = 300_000
STEPS = 60
TINY = ("train.size=tiny", f"train.steps={STEPS}", "train.evaluate_every=10", "train.sample_every=20",
        "train.batches.seconds=12", "train.save_every=30")  # fmt: skip


def dimts(*arguments: str | Path) -> None:
    """A dimts command; stops with its words when it fails."""
    subprocess.run(
        [sys.executable, "-m", "dimts", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL
    )


def make_project(home: Path) -> None:
    """A project with recordings that were prepared, a few of them with doubts, and a voice trained on
    them."""
    import numpy as np

    from dimts.audio.wave import Wave, join
    from dimts.evaluate.sentences import SENTENCES
    from dimts.speak import Speaker

    project = home / "almaz"
    dimts("new", project, "--licence", "CC-BY-4.0", "--consent", "signed form, 2026-03-01")
    project.joinpath("script.txt").write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    voice, quiet = Speaker.load("formant"), Wave.silence(0.4, 24_000)
    noise = np.random.default_rng(1)
    for number, text in enumerate(SENTENCES[:20], start=1):
        wave = join([quiet, voice.say(text), quiet])
        if number == 3:  # recorded beside a street
            wave = Wave(wave.samples + noise.normal(0, 0.03, len(wave.samples)).astype(np.float32), wave.rate)
        if number == 5:  # overdriven
            wave = Wave(np.clip(wave.samples * 12, -1, 1).astype(np.float32), wave.rate)
        spoken = SENTENCES[10] if number == 7 else text  # another line was read
        wave.save(project / "recordings" / f"almaz-{number:02d}.wav")
        (project / "recordings" / f"almaz-{number:02d}.txt").write_text(spoken + "\n", encoding="utf-8")
    dimts("data", "prepare", project)
    dimts("lexicon", "add", "--project", project, "አበበ", "ʔ a bː ə b ə")
    dimts("train", project, *(part for one in TINY for part in ("--set", one)))


def ready(address: str) -> bool:
    """Whether a language's page is there."""
    import httpx

    try:
        return httpx.get(address).status_code == httpx.codes.OK
    except httpx.ConnectError:
        return False


@contextmanager
def served(home: Path) -> Iterator[str]:
    """The page of `home`; its address, as soon as it is wholly there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-m", "dimts", "web", str(home), "--port", port])
    address = f"http://127.0.0.1:{port}/"
    try:
        while not all(ready(f"{address}ready/{one}") for one in LOCALES):
            if process.poll() is not None:
                raise SystemExit("the page's server has ended")
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(60)


# ---------------------------------------------------------------- what each tab shows
def text(page: Any) -> None:
    """Read the example, ask all backends."""
    page.locator("#text-read").click()
    page.wait_for_function("document.querySelector('#text-spoken textarea').value.length > 3")
    page.locator("#text-ask-all").click()
    page.locator("#text-others [role=row]").nth(3).wait_for()


def prepare(page: Any) -> None:
    """Open the first clip with a doubt."""
    page.locator("#clips-which label").nth(3).click()
    page.wait_for_timeout(1500)
    page.locator("#clip-after").click()
    page.wait_for_function("document.querySelector('#clip-text textarea').value.length > 3")
    page.locator("#clip-player canvas, #clip-player #waveform div").first.wait_for()


def train(page: Any) -> None:
    """Wait for the curve and for what this machine can do; open the table of what each option did."""
    page.locator("#train-curves canvas, #train-curves svg.marks").first.wait_for()
    page.wait_for_function("document.querySelector('#train-usable textarea').value.includes('eager')")
    page.locator("#tab-train button.label-wrap").last.click()


def speak(page: Any) -> None:
    """Say the example with the voice that was trained."""
    page.wait_for_function("document.querySelector('#speak-voice input').value === 'almaz'")
    page.locator("#speak-go").click()
    page.locator("#speak-spectrogram img").wait_for()
    page.evaluate("document.querySelector('#speech').pause()")


def compare(page: Any) -> None:
    """Begin with the voice and the built-in one."""
    page.locator("#compare-begin").click()
    page.wait_for_function("document.querySelector('#compare-text textarea')?.value.length > 3")
    drawn = (
        "name => !['', '0:00'].includes(document.querySelector(`#compare-${name} "
        "#duration`)?.innerText ?? '')"
    )
    for name in ("a", "b"):
        page.wait_for_function(drawn, arg=name)


def system(page: Any) -> None:
    """Ask the doctor."""
    page.locator("#system-look").click()
    page.locator("#system-table [role=row]").nth(5).wait_for()
    # the place of the project, which is another on every machine
    page.evaluate("""() => {
      const walk = document.createTreeWalker(document.querySelector('#system-table'), 4);
      while (walk.nextNode())
        walk.currentNode.data = walk.currentNode.data.replace(/\\(\\/[^)]*\\)/, '(my-voices)'); }""")


def home(page: Any) -> None:
    """The four steps, as a browser sees them first."""
    page.locator("#samples audio").first.wait_for()


def storage(page: Any) -> None:
    """What the project keeps."""
    page.locator("#storage-table [role=row]").nth(3).wait_for()


SHOWN: dict[str, Callable[[Any], None]] = {
    "home": home, "text": text, "prepare": prepare, "train": train, "speak": speak, "compare": compare,
    "storage": storage, "system": system,
}  # fmt: skip


def opened(browser: Any, address: str, language: str, size: int, *, expert: bool) -> Any:
    """The page in a new browser of that width, with every tab or with the four steps alone."""
    context = browser.new_context(viewport={"width": size, "height": 900}, locale=LOCALES[language])
    context.add_init_script(f"localStorage.setItem('dimts-expert', '{str(expert).lower()}')")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    # asked at every frame, as playwright does by default, a page has time for nothing else
    page.wait_for_function = partial(page.wait_for_function, polling=250)
    page.goto(address)
    page.wait_for_function("document.querySelector('#project input')?.value")
    page.locator("#tabs:not([inert])").wait_for(state="attached")
    page.wait_for_timeout(1500)
    return page


def open_tab(page: Any, name: str, language: str) -> None:
    """Open a tab; on a narrow screen some stand in a menu."""
    from dimts.web.strings import Strings

    seen = [one for one in page.locator(f"button[role=tab][data-tab-id='{name}']").all() if one.is_visible()]
    if seen:
        seen[0].click()
    else:
        page.locator(".overflow-menu > button").click()
        page.locator(".overflow-dropdown button", has_text=Strings(language)(f"tab.{name}")).first.click()
    page.locator(f"#tab-{name}").wait_for(state="visible")


def take(page: Any, path: Path) -> None:
    """The whole page as a small PNG."""
    from PIL import Image

    page.mouse.move(0, 0)
    page.evaluate("document.activeElement?.blur()")
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(1200)
    page.screenshot(path=path, full_page=True)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Make or find the project, serve it, and take the pictures."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="folder to keep the project in")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--only", default=",".join(SHOWN))
    parser.add_argument("--languages", default=",".join(LOCALES))
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = (given.home or Path(temporary)).resolve()
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "almaz" / "voices" / "almaz").is_dir():
            make_project(home)
        with served(home) as address, sync_playwright() as play:
            browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            for language in given.languages.split(","):
                for size in map(int, given.sizes.split(",")):
                    for name in given.only.split(","):
                        page = opened(browser, address, language, size, expert=name != "home")
                        if name != "home":
                            open_tab(page, name, language)
                        SHOWN[name](page)
                        take(page, given.out / f"web-{name}-{language}-{size}.png")
                        sys.stdout.write(f"web-{name}-{language}-{size}.png\n")
                        page.context.close()
            browser.close()


if __name__ == "__main__":
    main()
