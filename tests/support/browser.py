"""A headless Chromium driven through its DevTools protocol: a page, keys, touches, screenshots, and what it complained about."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

#: Chromium on this machine, and why the tests that need it are skipped where there is none.
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_CHROMIUM = "there is no Chromium: apt-get install chromium, or any way to get chromium or google-chrome on the PATH"
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM)
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --remote-debugging-port=0"
).split()
_NOISE = {"Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"}


class Page:
    """One tab. ``complaints`` are console messages, uncaught exceptions and failed requests."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self._fingers = 0
        self.complaints: list[str] = []
        for domain in ("Runtime", "Log", "Page"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **params: object) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(60))
            if message.get("method") in _NOISE:
                self.complaints.append(json.dumps(message["params"])[:500])
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def js(self, expression: str) -> Any:
        """The value of an expression; a promise is awaited."""
        result = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, expression: str, seconds: float = 30.0) -> Any:
        """Wait until the expression is true; AssertionError names it otherwise."""
        end = time.monotonic() + seconds
        while not (value := self.js(expression)):
            assert time.monotonic() < end, f"never true: {expression[:300]}"
            time.sleep(0.03)
        return value

    def click(self, element: str) -> None:
        """Press the button with that id, or call on what that selector finds first."""
        finder = f"getElementById('{element}')" if element.replace("-", "").isalnum() else f"querySelector({json.dumps(element)})"
        self.js(f"document.{finder}.click()")

    def text(self, element: str) -> str:
        """What stands in the element with that id."""
        return self.js(f"document.getElementById('{element}').textContent")

    def before(self, script: str) -> str:
        """Run this in every page that is opened from now on, before its own scripts; ``no_more`` takes the id returned."""
        return self.command("Page.addScriptToEvaluateOnNewDocument", source=script)["identifier"]

    def no_more(self, identifier: str) -> None:
        self.command("Page.removeScriptToEvaluateOnNewDocument", identifier=identifier)

    def give(self, name: str, data: bytes, by: str = "drop", type: str = "") -> None:
        """Drop a file on the page, or ``by="paste"`` paste it."""
        event = {
            "drop": "new DragEvent('drop', { dataTransfer: files, cancelable: true })",
            "paste": "new ClipboardEvent('paste', { clipboardData: files, cancelable: true })",
        }[by]
        self.js(
            f"""(() => {{
                const bytes = Uint8Array.from(atob("{base64.b64encode(data).decode()}"), c => c.charCodeAt(0));
                const files = new DataTransfer();
                files.items.add(new File([bytes], {json.dumps(name)}, {{ type: {json.dumps(type)} }}));
                dispatchEvent({event});
            }})()"""
        )

    def middle(self, element: str) -> tuple[float, float]:
        """Where the element with that id is on the screen."""
        box = f"document.getElementById('{element}').getBoundingClientRect()"
        x, y = self.js(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({box})")
        return x, y

    def touch(self, *fingers: tuple[float, float]) -> None:
        """So many fingers are on the screen now, there; none: all are lifted."""
        self._fingers, before = len(fingers), self._fingers
        kind = "touchEnd" if not fingers else "touchMove" if before == len(fingers) else "touchStart"
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(fingers)]
        self.command("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    def open(self, url: str, width: int = 1280, height: int = 860, mobile: bool = False) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        self.command("Emulation.setTouchEmulationEnabled", enabled=mobile)
        self.command("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def key(self, code: str, down: bool) -> None:
        text = {"Space": " ", "Slash": "?"}.get(code, code[-1].lower())
        self.command("Input.dispatchKeyEvent", type="keyDown" if down else "keyUp", code=code, key=text)

    def tap(self, code: str) -> None:
        self.key(code, True)
        self.key(code, False)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def browse(profile: Path) -> Iterator[Page]:
    """A browser with a fresh profile in that folder, and its page."""
    assert CHROMIUM is not None
    process = subprocess.Popen(
        [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        ready, end = profile / "DevToolsActivePort", time.monotonic() + 60
        while not (ready.exists() and ready.read_text().count("\n")):
            assert process.poll() is None, "chromium did not start"
            assert time.monotonic() < end, "chromium did not start in time"
            time.sleep(0.05)
        port = ready.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            tab = next(x for x in json.load(answer) if x["type"] == "page")
        with connect(tab["webSocketDebuggerUrl"], max_size=None) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
