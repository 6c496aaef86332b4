"""A server's OpenAPI description as one plain page of HTML: no script, and nothing from elsewhere."""

from __future__ import annotations

import json
from html import escape
from typing import Any


def api_page(api: dict[str, Any]) -> str:
    """The page for what ``FastAPI.openapi()`` gave: each address, what it is for, what it takes, and what comes back."""
    rows = [_row(method, path, what) for path, methods in api["paths"].items() for method, what in methods.items()]
    shapes = [
        f"<h3 id='{escape(name)}'>{escape(name)}</h3><p>{escape(shape.get('description', ''))}</p>"
        f"<pre>{escape(json.dumps(shape.get('properties', {}), indent=1))}</pre>"
        for name, shape in api.get("components", {}).get("schemas", {}).items()
    ]
    title = escape(f"{api['info']['title']}, the HTTP part")
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title><h1>{title}</h1>"
        f"<p><a href='openapi.json'>openapi.json</a></p>{''.join(rows)}<h2>What comes back</h2>{''.join(shapes)}</html>"
    )


def _row(method: str, path: str, what: dict[str, Any]) -> str:
    takes = ", ".join(f"{x['name']} ({x['in']})" for x in what.get("parameters", ()))
    refs = [
        content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        for answer in what.get("responses", {}).values()
        for content in answer.get("content", {}).values()
    ]
    links = ", ".join(f"<a href='#{escape(x)}'>{escape(x)}</a>" for x in dict.fromkeys(filter(None, refs)))
    words = f"{escape(what.get('description', ''))} Takes: {escape(takes) or 'nothing'}. Gives: {links or 'data'}."
    return f"<h3>{method.upper()} {escape(path)}</h3><p>{words}</p>"
