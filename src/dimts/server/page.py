"""Render the OpenAPI description as one HTML page, without any other host, script or font."""

from __future__ import annotations

import html
import json
from typing import Any

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_STYLE = """body{font:16px/1.5 system-ui,"Noto Sans Ethiopic","Abyssinica SIL",sans-serif;max-width:58rem;
margin:auto;padding:1rem;color:#222}h2{border-top:1px solid #ccc;padding-top:1rem;font-size:1.15rem}
code,pre{background:#f4f4f0;font-size:.9em}pre{padding:.7rem;overflow:auto}table{border-collapse:collapse;width:100%}td,th{text-align:left;
vertical-align:top;border-bottom:1px solid #eee;padding:.25rem .6rem .25rem 0}b.m{color:#14795c}"""


def render(schema: dict[str, Any]) -> str:
    """Return the page of HTML."""
    keyed = "securitySchemes" in schema.get("components", {})
    parts = [_operation(schema, path, method, operation, keyed)
             for path, item in schema["paths"].items() for method, operation in item.items()]  # fmt: skip
    info = schema["info"]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>dimts</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>dimts {_safe(info['version'])}</h1><p>{_safe(info['description'])} "
        f'The same for machines: <a href="openapi.json">openapi.json</a>.</p>{"".join(parts)}</html>'
    )


def _operation(schema: dict[str, Any], path: str, method: str, operation: dict[str, Any], keyed: bool) -> str:
    bodies: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
    kind = next(iter(bodies), "")
    body = bodies.get(kind, {})
    fields = _resolved(schema, body.get("schema", {}))
    rows = [_row(schema, name, field, name in fields.get("required", ()))
            for name, field in fields.get("properties", {}).items()]  # fmt: skip
    answers = [_answer(status, found) for status, found in operation["responses"].items()]
    return (
        f'<h2><b class="m">{method.upper()}</b> <code>{_safe(path)}</code></h2>'
        f"<p>{_safe(operation.get('summary', ''))}. {_safe(operation.get('description', ''))}</p>"
        + (f"<table><tr><th>field<th>type<th>default<th>meaning{''.join(rows)}</table>" if rows else "")
        + f"<pre>{_safe(_example(path, method, kind, fields, keyed and path != '/health'))}</pre>"
        + f"<table><tr><th>answer<th><th>{''.join(answers)}</table>"
    )


def _answer(status: str, found: dict[str, Any]) -> str:
    kinds = ", ".join(found.get("content", {}))
    return f"<tr><td>{status}<td>{_safe(found.get('description', ''))}<td>{_safe(kinds)}"


def _row(schema: dict[str, Any], name: str, field: dict[str, Any], needed: bool) -> str:
    default = "needed" if needed else json.dumps(field.get("default"), ensure_ascii=False)
    return (
        f"<tr><td><code>{_safe(name)}</code><td>{_safe(_type(schema, field))}<td>{_safe(default)}"
        f"<td>{_safe(field.get('description', ''))}"
    )


def _type(schema: dict[str, Any], field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(schema, one) for one in field["anyOf"])
    if "$ref" in field:
        return " ".join(_resolved(schema, field).get("properties", {"object": 0})).join(("{", "}"))
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    limits = [f"{sign} {field[key]}" for key, sign in (("minimum", "≥"), ("maximum", "≤")) if key in field]
    return " ".join([str(field.get("type", "any")), *limits])


def _resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        part = schema["components"]["schemas"][part["$ref"].rsplit("/", 1)[-1]]
    return part


def _example(path: str, method: str, kind: str, fields: dict[str, Any], keyed: bool) -> str:
    words = ["curl", *(["-X", method.upper()] if method not in ("get", "post") else [])]
    words += ["-H 'Authorization: Bearer KEY'"] if keyed else []
    if kind == "application/json":
        shown = {
            name: field["examples"][0]
            for name, field in fields.get("properties", {}).items()
            if field.get("examples")
        }
        words += ["--json", f"'{json.dumps(shown, ensure_ascii=False)}'"]
    elif kind:
        words += ["-F file=@voice.wav -F name=abebe -F 'consent=signed form of 2026-03-01'"]
    return " ".join(
        [*words, f"http://127.0.0.1:8000{path}", *(["-o speech.mp3"] if "speech" in path else [])]
    )


def _safe(text: object) -> str:
    return html.escape(str(text))
