"""A visit to the page, in words that the tests of the page share."""

from __future__ import annotations

from typing import Any

from browser import Page

STAGE = "!document.getElementById('stage').hidden"
VEILED = "!document.getElementById('veil').hidden"
#: How far the picture is from the one that ``keep_picture`` kept, in steps of 256; videos are not exact.
CHANGE = "change()"
#: Keeps what is said and heard on the page's socket, for ``said`` and ``heard``.
_SPY = """(() => {
    const { link } = dreamx, say = link.say.bind(link), hear = link.heard;
    const small = new OffscreenCanvas(32, 32).getContext("2d", { willReadFrequently: true });
    const look = () => {
        small.drawImage(document.getElementById("canvas"), 0, 0, 32, 32);
        return small.getImageData(0, 0, 32, 32).data;
    };
    window.still = null;
    window.keepPicture = () => { window.still = look(); };
    window.change = () => look().reduce((sum, x, i) => sum + Math.abs(x - still[i]), 0) / still.length;
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
    page.until(f"{STAGE} && !({VEILED}) && dreamx.screen.count > 5")


def keep_picture(page: Page) -> None:
    """The picture that is seen now is the one that ``CHANGE`` compares with."""
    page.js("keepPicture()")


def said(page: Page, kind: str) -> list[dict[str, Any]]:
    """What the page has said of that type."""
    return page.js(f"said.filter(m => m.type === '{kind}')")


def heard(page: Page, kind: str) -> list[dict[str, Any]]:
    """What the page has heard of that type."""
    return page.js(f"heard.filter(m => m.type === '{kind}')")
