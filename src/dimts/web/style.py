"""Look of the page: colours, letters, width; fonts of the user's machine, none from the network."""

from __future__ import annotations

import json

from dimts.web.pulse import PULSE_SECONDS
from dimts.web.strings import LANGUAGES, table

TABS = {"record": "prepare", "check": "prepare", "train": "train", "speak": "speak"}
"""Step of the way to a voice → the tab on which it is taken."""

ETHIOPIC = ("Noto Sans Ethiopic", "Abyssinica SIL", "Noto Serif Ethiopic", "Nyala", "Kefa", "Ebrima")
"""Fonts with Ethiopic letters, of Android and Linux, of SIL, of Windows and macOS; the first installed one is
used."""
LATIN = ("system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "DejaVu Sans")
"""Latin fonts in front of them, as some Ethiopic fonts have Latin letters of another style."""

ICON = """
<meta name="theme-color" content="#14795c">
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E
%3Crect width='32' height='32' rx='7' fill='%2314795c'/%3E
%3Cpath d='M7 16v4m6-10v14m6-18v22m6-14v8' stroke='white'
 stroke-width='3' stroke-linecap='round'/%3E%3C/svg%3E">
"""
"""HTML of the page's colour and icon."""

PLACE = """  const place = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const go = (changes) => {
    const before = place(), next = new URLSearchParams({...before, ...changes});
    for (const [name, value] of [...next]) if (!value) next.delete(name);
    const address = `#${next}`;
    if (address === location.hash || (!next.size && !location.hash)) return;
    const first = Object.keys(changes).every((name) => !before[name]);
    history[first ? "replaceState" : "pushState"](history.state, "", address);
  };
  const kept = (name, other) => {
    try { return JSON.parse(localStorage.getItem(`dimts-${name}`)) ?? other; } catch { return other; }
  };
  const keep = (name, value) => {
    try { localStorage.setItem(`dimts-${name}`, JSON.stringify(value)); }
    catch { /* storage is full or forbidden */ }
  };
"""
"""JavaScript: the address holds project, step and tab, the browser's storage what was written."""

# Gradio's own words ("Click to Upload") are in the browser's language, and it has no Amharic. The browser's
# language is set to English, and those words are replaced by the page's language as they appear.
_HEAD = """
<script>
{
  const root = document.documentElement;
  const ours = () => { if (root.lang !== "LANGUAGE") root.lang = "LANGUAGE"; };
  ours();  // gradio writes the browser's language there, which screen readers would then speak
  new MutationObserver(ours).observe(root, {attributes: true, attributeFilter: ["lang"]});
}
{
  // the address holds project and tab, the browser's storage what was written: both survive a reload
  const root = document.documentElement;
  let ready = false;
PLACE  const tab = (name) => { if (ready) go({tab: name}); }, restored = () => { ready = true; };
  // what is shown: the four steps ("home"), one step ("step"), or with *Expert* the steps and every tab
  const tabs = TABS;
  const show = () => {
    const expert = kept("expert", false), step = place().step in tabs ? place().step : "";
    Object.assign(root.dataset, {expert: expert ? "yes" : "no", view: step && !expert ? "step" : "home",
      step});
    document.querySelector("#expert")?.setAttribute("aria-pressed", String(expert));
    window.dispatchEvent(new Event("resize"));  // gradio measures what it could not see before
  };
  const open = (name) => [...document.querySelectorAll(`button[role=tab][data-tab-id="${name}"]`)]
    .find((one) => one.offsetParent)?.click();
  const step = (name) => {
    go({step: name, tab: tabs[name]});
    show();
    open(tabs[name]);
    scrollTo(0, 0);
    if (!kept("expert", false)) document.querySelector("#back")?.focus();
    else if (name === "check") setTimeout(() => document.querySelector("#clips-summary")?.scrollIntoView(),
      300);
    if (name !== "speak") return;
    const speaking = setInterval(() => {
      if (document.querySelector("#tabs").inert) return;
      clearInterval(speaking);
      document.querySelector("#speak-go").click();
    }, 50);
  };
  const home = () => {
    const from = place().step;
    go({step: "", tab: ""});
    show();
    document.querySelector(`#step-${from}-go`)?.focus();
  };
  const tabOf = () => (kept("expert", false) ? place().tab : tabs[place().step] ?? place().tab) ?? "";
  const expert = () => { keep("expert", !kept("expert", false)); show(); open(tabOf()); };
  // how many answers are on their way that will replace the text of a clip
  let answers = 0;
  const replacing = (change) => {
    answers += change;
    const field = document.querySelector("#clip-text textarea");
    field.readOnly = answers > 0;
    field.setAttribute("aria-busy", String(answers > 0));
  };
  show();
  window.dimts = {place, go, kept, keep, tab, restored, step, home, expert, tabOf,
    replacing};
  // not as an event of gradio, which does not come while the server is away
  document.addEventListener("input", (event) => {
    const field = event.target.closest(".remembered");
    if (field) keep(field.id, event.target.value);
  });
  let project = place().project;
  window.addEventListener("popstate", () => {
    const now = place();
    if (now.project && project && now.project !== project) { location.reload(); return; }
    show();
    open(tabOf() || "text");
  });
  new MutationObserver(() => {
    project = place().project ?? project;
    const tabs = document.querySelector("#tabs"), filled = document.querySelector("#filled [data-filled]");
    // nothing is pressed before its fields are filled
    if (tabs && tabs.inert === Boolean(filled)) tabs.inert = !filled;
    // gradio loses the text of a field whose tab it is just laying out when the page is opened
    if (filled) for (const field of document.querySelectorAll(".remembered :is(textarea, input)")) {
      if (field.dataset.restored) continue;
      field.dataset.restored = "yes";
      const text = kept(field.closest(".remembered").id, field.value);
      if (text === field.value) continue;
      field.value = text;
      field.dispatchEvent(new Event("input", {bubbles: true}));
    }
    const step = sessionStorage.getItem("dimts-press");  // of a step that was pressed on the opening page
    if (filled && step) {
      sessionStorage.removeItem("dimts-press");
      document.querySelector(`#step-${step}-go`)?.click();
    }
    const pressed = document.querySelector("#expert"), expert = String(root.dataset.expert === "yes");
    if (pressed && pressed.getAttribute("aria-pressed") !== expert) pressed.setAttribute("aria-pressed",
      expert);
  }).observe(document, {childList: true, subtree: true});
  // gradio works only when the project has changed
  let seen = "", asking = false;
  setInterval(async () => {
    const tick = document.querySelector("#tick"), name = place().project ?? "";
    if (asking || !tick) return;
    asking = true;
    try {
      const answer = await fetch(`../pulse?project=${encodeURIComponent(name)}`);
      const now = `${name} ${await answer.text()}`;
      if (answer.ok && now !== seen) { seen = now; tick.click(); }
    } catch { /* the server is away, and asked again */ } finally { asking = false; }
  }, 1000 * PULSE_SECONDS);
}
Object.defineProperty(navigator, "language", {get: () => "en"});
Object.defineProperty(navigator, "languages", {get: () => ["en"]});
(() => {
  const words = WORDS, names = ["aria-label", "title", "placeholder"];
  const word = (value) => {  // "#" stands for a number
    const numbers = value.match(/[0-9]+([.][0-9]+)?/g) ?? [];
    const key = [value, value.replace(/[0-9]+([.][0-9]+)?/g, "#")].find((one) => Object.hasOwn(words, one));
    return key && words[key].replace(/#/g, () => numbers.shift() ?? "");
  };
  const text = (node) => {
    const own = node.data.trim(), known = word(own);
    if (known) node.data = node.data.replace(own, () => known);
    else if (own.startsWith("- ") && Object.hasOwn(words, own.slice(2, -2)))
      node.data = node.data.replace(own.slice(2, -2), words[own.slice(2, -2)]);
  };
  const widgets = ".upload-container, .wrap, button, .toast-body, .icon-wrap, label, .record, [aria-live]";
  const changed = (node) => {
    const element = node.parentElement;
    if (element?.closest(widgets) && !element.closest("textarea, [data-people]")) text(node);
  };
  const mended = (element) => {  // names of gradio's that readers cannot use
    // marks under the pointer in a curve, which stand in it a second time, and without a name
    if (element.matches("g.hover_marks[role=graphics-symbol]:not([aria-label], [aria-hidden])"))
      element.setAttribute("aria-hidden", "true");
    const name = element.getAttribute?.("aria-label") || element.getAttribute?.("title");
    if (!name) return;
    if (element.matches("div.empty") && !element.role) element.role = "img";
    // the text of the button says more than its label
    if (element.matches("button.upload-container")) element.removeAttribute("aria-label");
    if (element.matches(".token-remove") && !element.matches(".remove-all")) {
      const file = element.parentElement.querySelector("span").innerText.trim();
      const own = `${words["Remove"] || "Remove"} ${file}`;
      if (name !== own) element.setAttribute("aria-label", own);
      if (element.title && element.title !== own) element.title = own;
    }
    if (element.matches("button.playback")) {
      const speed = element.innerText.trim(), own = `${words["Speed"] || "Speed"} ${speed}`;
      if (speed && name !== own) element.setAttribute("aria-label", own);
    }
  };
  const one = (element) => {
    mended(element);
    for (const name of names) {
      const known = word(element.getAttribute?.(name) ?? "");
      if (known && known !== element.getAttribute(name)) element.setAttribute(name, known);
    }
  };
  const all = (root) => {
    if (root.nodeType === 3) return text(root);
    if (root.nodeType !== 1 || root.closest("textarea, [data-people]")) return;
    one(root);
    root.querySelectorAll("*").forEach(one);
    const walk = document.createTreeWalker(root, 4);
    while (walk.nextNode()) changed(walk.currentNode);
  };
  new MutationObserver((changes) => changes.forEach((change) => {
    if (change.type === "childList") change.addedNodes.forEach(all);
    else if (change.type === "attributes") one(change.target);
    else changed(change.target);
  })).observe(document, {childList: true, subtree: true, characterData: true, attributes: true,
    attributeFilter: [...names, "role"]});
})();
</script>
"""

CSS = """
.gradio-container { max-width: 1100px !important; width: 100% !important; min-width: 0 !important;
  margin: 0 auto !important; padding: 0 !important; }
.gradio-container > .main, .gradio-container > .main > .wrap, .gradio-container main { width: 100% !important;
  min-width: 0 !important; max-width: 100% !important; box-sizing: border-box; }
.gradio-container > .main { padding: 8px 20px 40px !important; }
.gradio-container > .main > .wrap, .gradio-container main { padding: 0 !important; }
.gradio-container .block, .gradio-container .row, .gradio-container .column, .gradio-container .tabs,
.gradio-container .tabitem, .gradio-container .form { min-width: 0 !important; max-width: 100%; }
#clip .block { border-color: var(--border-color-primary) !important; border-width: 0 0 1px !important; }
.gradio-container textarea, .gradio-container input { line-height: 1.6; }
header.top { display: flex; justify-content: space-between; align-items: baseline; gap: 16px; padding: 2px; }
header.top h1 { margin: 0 !important; font-size: 1rem; font-weight: 400; }
header.top .mark { font-size: 1.7rem; font-weight: 700; color: var(--color-accent); margin-right: 6px; }
header.top strong { font-size: 1.15rem; }
header.top .claim { color: var(--body-text-color-subdued); margin-left: 10px; font-size: 1rem;
  font-weight: 400; }
header.top a { color: var(--color-accent); text-decoration: underline; white-space: nowrap; padding: 6px; }
#top { padding: 0; }
.gradio-container .html-container { padding: 0 !important; }
.gradio-container .gap { gap: 12px; }
#project-row { align-items: end; }
#project-make { height: 44px; }
.gradio-container .form > .block { display: flex; flex-direction: column; }
.gradio-container .form > .block > .container { flex: 1; display: flex; flex-direction: column; }
.gradio-container .form > .block > .container > :last-child { margin-top: auto; }
.gradio-container .secondary-wrap input { text-overflow: ellipsis; padding-right: 30px; }
#train-curves { overflow: visible !important; padding-bottom: 40px !important; }
#train-curves * { overflow: visible; }
#job:not(:has(.notice)) { display: none; }
#job { border: 1px solid var(--border-color-primary); position: sticky; top: 0; z-index: 20;
  background: var(--background-fill-primary); }
#job progress { display: block; width: 100%; height: 8px; accent-color: #14795c; }
#filled { display: none; }
header.top .switches { display: flex; gap: 12px; align-items: baseline; white-space: nowrap; }
#expert, #back, #onward .next { font: inherit; color: var(--body-text-color);
  background: var(--background-fill-primary);
  border: 1px solid var(--neutral-500); border-radius: 8px; padding: 6px 12px; cursor: pointer; }
#expert[aria-pressed=true] { background: #14795c; color: white; border-color: #14795c; }
#onward .next { background: #14795c; color: white; border-color: #14795c; padding: 12px 18px;
  font-weight: 600; width: 100%; }
.way { display: flex; gap: 16px; align-items: center; flex-wrap: wrap; }
.way h2 { margin: 0 !important; font-size: 1.35rem !important; }
html[data-expert=no][data-view=home] #tabs, html[data-expert=no][data-view=home] #settings-problem:empty,
html:not([data-view=step]) #way, html:not([data-view=step]) #onward, html[data-view=step] #home,
html[data-view=step] #project-row, html[data-expert=no] .expert { display: none; }
/* out of sight, and wide: gradio takes tabs without room out of the strip, where they cannot be opened */
html[data-expert=no] #tabs > .tab-wrapper { position: fixed; left: -4000px; width: 3000px; height: 40px;
  visibility: hidden; }
html[data-expert=no] #tabs .tabitem { border: none !important; padding: 0 !important; }
html[data-step=record] .of-check, html[data-step=check] .of-record { display: none; }
html[data-expert=yes] .of-check, html[data-expert=yes] .of-record { display: flex; }
.of-step { display: none; }
html[data-step=record] .of-step[data-step=record], html[data-step=check] .of-step[data-step=check],
html[data-step=train] .of-step[data-step=train],
  html[data-step=speak] .of-step[data-step=speak] { display: block; }
#steps { display: grid !important; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 16px;
  align-items: stretch !important; }
.step { display: flex !important; flex-direction: column; height: auto; }
.step > button { margin-top: auto; flex: none; }
.step > :first-child { flex: none; }
html[data-expert=no] .step { border: 1px solid var(--border-color-primary); border-radius: 14px;
  padding: 18px 16px;
  background: var(--background-fill-secondary); justify-content: space-between; width: auto !important; }
html[data-expert=no] .step:has(.next-step) { border: 2px solid #14795c; }
html[data-expert=no] .step-state h2 { font-size: 1.25rem !important; }
html[data-expert=no] .step button { font-size: 1.05rem; padding: 14px 10px; white-space: normal;
  height: auto; }
html[data-expert=yes] .step-next, html[data-expert=yes] .ring,
  html[data-expert=yes] #samples { display: none; }
html[data-expert=yes] .step button { padding: 6px 8px; font-size: var(--text-sm); }
.step-state h2 { font-size: 1rem !important; margin: 0 !important; }
.step-state p { margin: 2px 0 0 !important; color: var(--body-text-color); }
.step-done { display: flex; gap: 12px; align-items: center; min-height: 48px; }
html[data-expert=yes] .step-done { min-height: 0; }
.step-next { font-weight: 600; margin-top: 10px !important; }
.ring { width: 76px; flex: none; }
.ring circle { fill: none; stroke-width: 3.2; }
.ring-all { stroke: var(--neutral-300); }
.dark .ring-all { stroke: var(--neutral-700); }
.ring-part { stroke: #14795c; transform: rotate(-90deg); transform-origin: center; }
.dark .ring-part { stroke: #81cfb0; }
.ring text { font-size: 9px; font-weight: 700; text-anchor: middle; fill: var(--body-text-color); }
.ring text.ring-of { font-size: 5.5px; font-weight: 400; }
#samples h2 { font-size: 1.1rem !important; margin: 8px 0 4px !important; }
#samples ul { display: grid; grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); gap: 10px;
  padding: 0;
  margin: 0 !important; list-style: none; }
#samples li { display: flex; flex-direction: column; gap: 4px; margin: 0 !important; }
#samples audio { width: 100%; height: 40px; }
.step-state.done h2 span[aria-hidden] { color: #14795c; }
.dark .step-state.done h2 span[aria-hidden] { color: #81cfb0; }
.step-state.next h2 { text-decoration: underline; text-underline-offset: 4px; }
.hidden-text { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
#tabs[inert] { opacity: .55; }
#tick { display: none !important; }
.wrong input, .wrong textarea { outline: 2px solid #b3261e !important; }
.wrong [class*=info], .wrong [class*=info] * { color: var(--wrong) !important; }
:root { --wrong: #a3221b; }
.dark { --wrong: #ff9a8f; }
.dark button[role=tab][aria-selected=true] { color: #81cfb0 !important; }
.dark header.top a, .dark header.top .mark, .dark #fetch-base-info a, .dark #fetch-recogniser-info a {
  color: #81cfb0; }
#job .notice { border-radius: 0; margin: 0 !important; padding: 12px 14px; font-weight: 600; }
p.notice { margin: 4px 0 !important; padding: 8px 12px; border-radius: 8px;
  background: var(--background-fill-secondary); color: var(--body-text-color); overflow-wrap: anywhere; }
ul.why { margin: 6px 0 6px 22px !important; list-style: disc; }
p.notice.good { background: color-mix(in srgb, #14795c 12%, var(--background-fill-primary)); }
p.notice.bad { background: color-mix(in srgb, #b3261e 12%, var(--background-fill-primary)); }
p.notice.busy { background: color-mix(in srgb, #14795c 8%, var(--background-fill-primary)); }
p.notice.busy::before { content: ""; display: inline-block; width: 10px; height: 10px; margin-right: 10px;
  border-radius: 50%; background: var(--color-accent); animation: breathe 1.6s ease-in-out infinite; }
@keyframes breathe { 50% { opacity: .25; } }
@media (prefers-reduced-motion: reduce) { p.notice.busy::before { animation: none; } }
figure.qr { margin: 8px 0 !important; max-width: 320px; }
figure.qr svg { width: 100%; height: auto; border-radius: 8px; }
p.address { overflow-wrap: anywhere; user-select: all; }
audio#speech { width: 100%; margin: 6px 0; }
img.picture { width: 100%; border-radius: 8px; background: white; }
button:focus-visible, input:focus-visible, textarea:focus-visible, a:focus-visible, [tabindex]:focus-visible {
  outline: 3px solid var(--color-accent) !important; outline-offset: 1px; }
.gradio-container table, .gradio-container table * { font-family: var(--font) !important; }
.gradio-container .block:has(> .wrap.hide) { min-height: 0; }
.gradio-container #time, .gradio-container #duration, .gradio-container button.playback,
.gradio-container .playback span {
  color: var(--body-text-color) !important; }
.gradio-container input[type=checkbox], .gradio-container input[type=radio] {
  border: 1px solid var(--neutral-500) !important; }
footer { display: none !important; }
@media (max-width: 900px) { #steps { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
@media (max-width: 640px) {
  html[data-expert=no] #steps { grid-template-columns: minmax(0, 1fr); }
  html[data-expert=no] .step { padding: 14px; }
  .gradio-container > .main { padding: 4px 10px 32px !important; }
  header.top .claim { display: none; }
  .gradio-container .row:has(> .form), .gradio-container .row:has(> .block), .gradio-container .row > .form {
    flex-direction: column !important; flex-wrap: nowrap !important; align-items: stretch !important; }
  .gradio-container .row:has(> .block) > *, .gradio-container .row > .form,
  .gradio-container .row > .form > * {
    width: 100% !important; flex: none !important; }
  .gradio-container .tab-wrapper button { padding: 8px 9px; font-size: var(--text-sm); }
  .gradio-container .table-container { overflow-x: auto !important; }
  .gradio-container .table-wrap { width: 600px !important; }
  .gradio-container #storage-table .table-wrap,
    .gradio-container #class-table .table-wrap { width: 100% !important; }
}
"""


def head(language: str) -> str:
    """Return the HTML head of a language's page."""
    words = gradio_words(language)
    coded = json.dumps(words, ensure_ascii=False).replace("<", "\\u003c")
    tabs = json.dumps(TABS)
    # as a style of its own: gradio puts a prefix before what it is given as css, also inside of media rules
    return (
        ICON
        + _HEAD.replace("PLACE", PLACE)
        .replace("LANGUAGE", language)
        .replace("WORDS", coded)
        .replace("TABS", tabs)
        .replace("PULSE_SECONDS", f"{PULSE_SECONDS:g}")
        + f"<style>{CSS}</style>"
    )


def gradio_words(language: str) -> dict[str, str]:
    """Return what a language's page writes for Gradio's English words and for its key without a word."""
    texts = table()
    words = {"common.complete": texts[language]["gradio.complete"]}
    if language != LANGUAGES[0]:
        words |= {texts["en"][key]: texts[language][key] for key in texts["en"] if key.startswith("gradio.")}
    return words
