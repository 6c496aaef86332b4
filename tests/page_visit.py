"""A visit to the page, in words that the tests of the page share."""

from __future__ import annotations

from typing import Any

import pytest

from browser import CHROMIUM, Page

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

PIXELS = "document.getElementById('canvas').toDataURL()"
STAGE = "!document.getElementById('stage').hidden"
VEILED = "!document.getElementById('veil').hidden"
#: Keeps what is said and heard on the page's socket, for ``said`` and ``heard``.
_SPY = """(() => {
    const { link } = dreamx, say = link.say.bind(link), hear = link.heard;
    Object.assign(window, { said: [], heard: [] });
    link.say = (message) => { said.push(message); return say(message); };
    link.heard = (message) => { heard.push(message); return hear(message); };
})()"""


def visit(page: Page, port: int, width: int = 1280, height: int = 860, mobile: bool = False) -> None:
    """Open the gallery as somebody who was never here."""
    page.complaints.clear()
    fresh = page.before("sessionStorage.clear()")
    page.open(f"http://127.0.0.1:{port}/", width, height, mobile)
    page.no_more(fresh)
    page.until("document.querySelectorAll('.start img').length === 2")
    page.js(_SPY)


def depart(page: Page) -> None:
    """Leave; whatever the page complained about fails the test."""
    assert page.complaints == []
    page.command("Page.navigate", url="about:blank")


def enter(page: Page) -> None:
    """Into the second place of the gallery, until its picture moves."""
    page.click("[data-id=sea]")
    page.until(f"{STAGE} && !({VEILED}) && dreamx.screen.painted.length > 5")


def said(page: Page, kind: str) -> list[dict[str, Any]]:
    """What the page has said of that type."""
    return page.js(f"said.filter(m => m.type === '{kind}')")


def heard(page: Page, kind: str) -> list[dict[str, Any]]:
    """What the page has heard of that type."""
    return page.js(f"heard.filter(m => m.type === '{kind}')")
