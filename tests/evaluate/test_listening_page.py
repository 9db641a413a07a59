"""The page in a real browser: a rater hears, answers, goes back, and the answers are those that were
given."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dimts.audio.formant import Formant, FormantSettings
from dimts.evaluate.listening_test import analyse, make

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

RATER = """
<script>
const rated = {};
const rate = () => {
  for (const player of document.querySelectorAll("audio")) { player.dispatchEvent(new Event("ended")); }
  if (!$("next").disabled) { throw new Error("an answer is not needed"); }
  const choices = [...document.querySelectorAll("#choices input")];
  const wanted = CHOICE;
  const input = choices.find((one) => one.value === wanted);
  input.click();
  if ($("next").disabled) { throw new Error("cannot go on"); }
};
window.addEventListener("load", () => {
  if (!$("begin").disabled) { throw new Error("a name is not needed"); }
  $("rater").value = "ሰው 1"; $("rater").dispatchEvent(new Event("input"));
  $("begin").click();
  rate(); $("next").click(); $("back").click();
  while (!$("trial").hidden) {
    if (!document.querySelector("#choices input:checked")) { rate(); }
    $("next").click();
  }
  $("copy").textContent = $("copy").value;
});
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
@pytest.mark.parametrize(("kind", "choice", "mean"), [("mos", "4", 4.0), ("ab", "none", 0.5)])
def test_a_rater_can_go_all_the_way(tmp_path: Path, kind: str, choice: str, mean: float) -> None:
    folders = {}
    for name, variant in (("old", ""), ("new", "f2")):
        for number in range(2):
            Formant(FormantSettings(variant=variant)).speak([("s", "ə", "l", "a", "m")]).save(
                tmp_path / name / f"s{number}.wav"
            )
        folders[name] = tmp_path / name
    kit = make(folders, tmp_path / "kit", kind)  # type: ignore[arg-type]
    driven = kit.page.with_name("driven.html")
    page = kit.page.read_text(encoding="utf-8")
    driven.write_text(
        page.replace("</body>", RATER.replace("CHOICE", json.dumps(choice)) + "</body>"), encoding="utf-8"
    )
    assert BROWSER is not None
    found = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000",
         f"--user-data-dir={tmp_path / 'browser'}", "--dump-dom", driven.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    text = re.search(r'<textarea id="copy".*?>(.*?)</textarea>', found.stdout, re.S)
    assert text is not None, found.stdout[-2000:]
    answers = tmp_path / "answers.json"
    answers.write_text(html.unescape(text.group(1)), encoding="utf-8")
    content = json.loads(answers.read_text(encoding="utf-8"))
    assert content["rater"] == "ሰው 1"
    assert content["finished"] is True
    assert len(content["answers"]) == kit.trials
    opinions = analyse(kit.key, [answers])
    assert opinions.scores["old"].mean == opinions.scores["new"].mean == mean
