"""A headless Chromium driven over its debugging pipe: no driver program, no package, no port.

Chromium speaks the DevTools protocol on file descriptors 3 and 4, one JSON message after the other, each ended by a
zero byte.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
# The last three keep it from waiting for a network that may be closed.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
KEYS = {
    "Enter": (13, "\r"), "Escape": (27, ""), "ArrowLeft": (37, ""), "ArrowUp": (38, ""), "ArrowRight": (39, ""),
    "ArrowDown": (40, ""), "Home": (36, ""), "End": (35, ""), "Tab": (9, ""),
}  # fmt: skip
TIMEOUT_SECS = 60


def find_chromium() -> str | None:
    """Finds the program on the PATH."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Page:
    """One tab of a Chromium of its own; everything it says is waited for."""

    def __init__(self, program: str) -> None:
        self.profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        to_browser, self.write = os.pipe()
        self.read, from_browser = os.pipe()
        # The numbers 3 and 4 may be taken here, so the shell puts the pipes there.
        command = f"exec \"$@\" 3<&{to_browser} 4>&{from_browser}"
        arguments = [program, *FLAGS, f"--user-data-dir={self.profile.name}", "--remote-debugging-pipe", "about:blank"]
        self.browser = subprocess.Popen(
            ["bash", "-c", command, "chromium", *arguments],
            pass_fds=[to_browser, from_browser],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.buffer = b""
        self.last = 0
        self.session: str | None = None
        self.said: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """Ends the browser and everything it started."""
        os.close(self.write)
        os.close(self.read)
        try:
            self.browser.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.browser.pid, signal.SIGKILL)
            self.browser.wait()
        self.profile.cleanup()

    def call(self, method: str, **parameters):
        """Sends one command and waits for its answer; what the page logs meanwhile is kept in `said`."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write, data) :]
        while True:
            answer = self.receive()
            if answer.get("id") == self.last:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.note(answer)

    def receive(self) -> dict:
        """Reads one message."""
        deadline = time.monotonic() + TIMEOUT_SECS
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser says nothing"
            data = os.read(self.read, 1 << 20)
            assert data, "the browser has ended"
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def note(self, event: dict) -> None:
        """Keeps errors, logged lines, dialogs and every address that is asked for."""
        parameters = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.said.append(f"exception {parameters['exceptionDetails'].get('exception', {}).get('description')}")
            case "Log.entryAdded":
                self.said.append(f"{parameters['entry']['level']} {parameters['entry']['text']}")
            case "Page.javascriptDialogOpening":
                self.said.append(f"dialog {parameters['message']}")
                self.call("Page.handleJavaScriptDialog", accept=True)
            case "Network.requestWillBeSent":
                self.said.append(f"request {parameters['request']['url']}")

    def open(self, path: Path | str) -> None:
        """Opens a page by its file and waits until it says that all rows are there."""
        url = path if isinstance(path, str) else path.resolve().as_uri()
        # So that a page from before the navigation is not taken for the new one.
        self.run("void delete document.documentElement.dataset.ready")
        self.call("Page.navigate", url=url)
        self.until("document.documentElement?.dataset.ready === 'yes'")

    def run(self, script: str):
        """Evaluates an expression (promises are awaited) and gives its value."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True)
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails'].get('exception')}"
        return answer["result"].get("value")

    def until(self, condition: str, timeout_secs: float = 30) -> None:
        """Waits until an expression is true."""
        deadline = time.monotonic() + timeout_secs
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < deadline, f"not true within {timeout_secs} s: {condition}"
            time.sleep(0.03)

    def size(self, width: int, height: int, scale: float = 1, phone: bool = False) -> None:
        """Sets the window's size."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone)

    def scheme(self, name: str) -> None:
        """Light or dark."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def key(self, name: str) -> None:
        """Presses and lets go a key: a name of KEYS, or one character."""
        code, text = KEYS.get(name, (ord(name.upper()[0]), name))
        common = {"key": name, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Types into what has the focus."""
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Clicks the middle of the first element that matches."""
        box = self.run(
            f"(() => {{ const element = document.querySelector({json.dumps(selector)}); if (!element) return null;"
            "element.scrollIntoView({block: 'nearest'}); const box = element.getBoundingClientRect();"
            "return [box.left + box.width / 2, box.top + box.height / 2]; })()"
        )
        assert box, f"there is no {selector}"
        for kind in ["mousePressed", "mouseReleased"]:
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def screenshot(self, path: Path) -> None:
        """Writes what the window shows, as PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
