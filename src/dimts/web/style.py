"""Look of the page: colours, letters, width; fonts of the user's machine, none from the network."""

from __future__ import annotations

import json

import gradio as gr

from dimts.web.strings import LANGUAGES, table

ETHIOPIC = ("Noto Sans Ethiopic", "Abyssinica SIL", "Noto Serif Ethiopic", "Nyala", "Kefa", "Ebrima")
"""Fonts with Ethiopic letters, of Android and Linux, of SIL, of Windows and macOS; the first installed one is
used."""
_LATIN = ("system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "DejaVu Sans")
"""Latin fonts in front of them, as some Ethiopic fonts have Latin letters of another style."""

# Gradio's own words ("Click to Upload") are in the browser's language, and it has no Amharic. The browser's
# language # is set to English, and those words are replaced by the page's language as they appear.
_HEAD = """
<meta name="theme-color" content="#14795c">
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E
%3Crect width='32' height='32' rx='7' fill='%2314795c'/%3E
%3Cpath d='M7 16v4m6-10v14m6-18v22m6-14v8' stroke='white'
 stroke-width='3' stroke-linecap='round'/%3E%3C/svg%3E">
<script>
{
  const root = document.documentElement;
  const ours = () => { if (root.lang !== "LANGUAGE") root.lang = "LANGUAGE"; };
  ours();  // gradio writes the browser's language there, which screen readers would then speak
  new MutationObserver(ours).observe(root, {attributes: true, attributeFilter: ["lang"]});
}
{
  // the address holds project and tab, the browser's storage what was written: both survive a reload
  let ready = false;
  const place = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
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
  const tab = (name) => { if (ready) go({tab: name}); }, restored = () => { ready = true; };
  window.dimts = {place, go, kept, keep, tab, restored};
  let project = place().project;
  window.addEventListener("popstate", () => {
    const now = place();
    if (now.project && project && now.project !== project) { location.reload(); return; }
    const name = now.tab || "text";
    const buttons = document.querySelectorAll(`button[role=tab][data-tab-id="${name}"]`);
    [...buttons].find((one) => one.offsetParent)?.click();
  });
  new MutationObserver(() => {
    project = place().project ?? project;
    const tabs = document.querySelector("#tabs"), filled = document.querySelector("#filled [data-filled]");
    // nothing is pressed before its fields are filled
    if (tabs && tabs.inert === Boolean(filled)) tabs.inert = !filled;
  }).observe(document, {childList: true, subtree: true});
}
Object.defineProperty(navigator, "language", {get: () => "en"});
Object.defineProperty(navigator, "languages", {get: () => ["en"]});
(() => {
  const words = WORDS, names = ["aria-label", "title", "placeholder"];
  const text = (node) => {
    const own = node.data.trim();
    if (Object.hasOwn(words, own)) node.data = node.data.replace(own, words[own]);
    else if (own.startsWith("- ") && Object.hasOwn(words, own.slice(2, -2)))
      node.data = node.data.replace(own.slice(2, -2), words[own.slice(2, -2)]);
  };
  const mended = (element) => {  // names of gradio's that readers cannot use
    const name = element.getAttribute?.("aria-label") || element.getAttribute?.("title");
    if (!name) return;
    if (element.matches("div.empty") && !element.role) element.role = "img";
    // the text of the button says more than its label
    if (element.matches("button.upload-container")) element.removeAttribute("aria-label");
    if (element.matches(".token-remove") && !element.matches(".remove-all")) {
      const file = element.parentElement.querySelector("span").innerText.trim();
      const own = `${words["Remove"] || "Remove"} ${file}`;
      if (name !== own) element.setAttribute("aria-label", own);
    }
    if (element.matches("button.playback")) {
      const speed = element.innerText.trim(), own = `${words["Speed"] || "Speed"} ${speed}`;
      if (speed && name !== own) element.setAttribute("aria-label", own);
    }
  };
  const one = (element) => {
    mended(element);
    for (const name of names) {
      const value = element.getAttribute?.(name);
      if (!value) continue;
      const number = value.match(/[0-9.]+/)?.[0] ?? "";
      const known = words[value] ?? words[value.replace(number, "#")];
      if (known) element.setAttribute(name, known.replace("#", number));
    }
  };
  const all = (root) => {
    if (root.nodeType === 3) return text(root);
    if (root.nodeType !== 1 || root.closest("textarea, [data-people]")) return;
    one(root);
    root.querySelectorAll("*").forEach(one);
    const walk = document.createTreeWalker(root, 4);
    const widgets = ".upload-container, .wrap, button, .toast-body, .icon-wrap, label, .record";
    while (walk.nextNode()) if (walk.currentNode.parentElement.closest(widgets)) text(walk.currentNode);
  };
  new MutationObserver((changes) => changes.forEach((change) => {
    if (change.type === "childList") change.addedNodes.forEach(all);
    else if (change.type === "attributes") one(change.target);
  })).observe(document, {childList: true, subtree: true, attributes: true, attributeFilter: names});
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
.step-state h2 { font-size: 1rem !important; margin: 0 !important; }
.step-state p { margin: 2px 0 0 !important; color: var(--body-text-color); }
.step-state.done h2 span[aria-hidden] { color: #14795c; }
.dark .step-state.done h2 span[aria-hidden] { color: #81cfb0; }
.step-state.next h2 { text-decoration: underline; text-underline-offset: 4px; }
.hidden-text { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
#tabs[inert] { opacity: .55; }
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
@media (max-width: 640px) {
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
}
"""


def head(language: str) -> str:
    """Return the HTML head of a language's page."""
    words = {} if language == LANGUAGES[0] else gradio_words(language)
    coded = json.dumps(words, ensure_ascii=False).replace("<", "\\u003c")
    # as a style of its own: gradio puts a prefix before what it is given as css, also inside of media rules
    return _HEAD.replace("LANGUAGE", language).replace("WORDS", coded) + f"<style>{CSS}</style>"


def gradio_words(language: str) -> dict[str, str]:
    """Return the translations of Gradio's English words."""
    texts = table()
    return {texts["en"][key]: texts[language][key] for key in texts["en"] if key.startswith("gradio.")}


def theme() -> gr.themes.Base:
    """Return the theme: calm greens on white, or on dark where the user's system asks for it."""
    fonts = [*map(gr.themes.Font, (*_LATIN, *ETHIOPIC, "sans-serif"))]
    green = gr.themes.Color(
        "#effaf5", "#d8f2e6", "#b3e4cf", "#81cfb0", "#4bb38d", "#14795c", "#126b52", "#105846", "#0f4739",
        "#0d3b30", "#06211b", name="dimts",
    )  # fmt: skip
    base = gr.themes.Soft(
        primary_hue=green, secondary_hue=green, neutral_hue="stone", font=fonts, font_mono=fonts
    )
    return base.set(
        block_title_background_fill="none",
        block_title_background_fill_dark="none",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_padding="0",
        block_label_background_fill="none",
        block_label_background_fill_dark="none",
        block_label_text_color="*body_text_color",
        block_label_text_color_dark="*body_text_color",
        block_shadow="none",
        block_border_width="1px",
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_600",
        input_shadow="none",
        button_primary_background_fill="*primary_500",
        button_primary_background_fill_hover="*primary_600",
        button_primary_background_fill_dark="*primary_500",
        button_primary_text_color="white",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_600",
        button_secondary_shadow="none",
        button_primary_shadow="none",
        button_border_width="1px",
        button_large_text_size="*text_md",
        button_large_padding="10px 16px",
        button_large_text_weight="600",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        link_text_color_dark="#81cfb0",
    )
