"""A real browser for tests, without a driver: Chromium over a pipe, in the words of the DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str:
    """Its path; the test is skipped where there is none."""
    for name in _NAMES:
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium on this machine (apt-get install chromium)")


@contextmanager
def browser(profile: Path, *flags: str) -> Iterator[Browser]:
    """A headless browser with a profile of its own; nothing of it is left running."""
    (to_it, ours), (theirs, from_it) = os.pipe(), os.pipe()
    # Chromium reads file 3 and writes file 4, which only a shell can hand over under these numbers.
    start = f'exec "$@" 3<&{to_it} 4>&{from_it}'
    command = [find_chromium(), *QUIET, "--remote-debugging-pipe", f"--user-data-dir={profile}", *flags, "about:blank"]
    process = subprocess.Popen(
        ["/bin/bash", "-c", start, "browser", *command],
        pass_fds=(to_it, from_it),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_it), os.close(from_it)
    try:
        yield Browser(ours, theirs)
    finally:
        process.terminate()
        process.wait(timeout=30)
        os.close(ours), os.close(theirs)


class Browser:
    """One page, which every request is noted of."""

    def __init__(self, writes: int, reads: int) -> None:
        self._writes, self._reads, self._rest, self._number = writes, reads, b"", 0
        self.requests: list[str] = []
        """Addresses that the page, its frames and its workers asked for, blob: and data: left out."""
        self.said: list[str] = []
        """What the page wrote to its console, and errors that nothing caught."""
        self._saved = 0
        os.set_blocking(reads, False)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log", "DOM"):
            self.page(f"{domain}.enable")
        self.page("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        self.page("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True)

    def call(self, method: str, *, session: str = "", **params: Any) -> dict[str, Any]:
        """Ask the browser itself; what it says in between is noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        message |= {"sessionId": session} if session else {}
        os.write(self._writes, json.dumps(message).encode() + b"\0")
        while (answer := self._next(time.monotonic() + 60)).get("id") != self._number:
            self._note(answer)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    def page(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask about the page."""
        return self.call(method, session=self._session, **params)

    def open(self, address: str) -> None:
        """Go to an address, and wait until it is loaded."""
        self.page("Page.navigate", url=address)
        self.wait(f"location.href === {json.dumps(address)} && document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, a promise's where it is one."""
        found = self.page("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"].get("exception", {}).get("description", found))
        return found["result"].get("value")

    def wait(self, script: str, *, seconds: float = 60) -> Any:
        """The first value of an expression that is true."""
        end = time.monotonic() + seconds
        while not (found := self.run(script)):
            if time.monotonic() > end:
                raise AssertionError(f"'{script}' did not become true; the page said {self.said}")
            time.sleep(0.1)
        return found

    def choose(self, selector: str, paths: Sequence[Path]) -> None:
        """Give files, or one folder, to a file input."""
        root = self.page("DOM.getDocument")["root"]["nodeId"]
        node = self.page("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.page("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def save(self, click: str, folder: Path) -> Path:
        """The file that a click makes the page hand over."""
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), eventsEnabled=True)
        before = set(folder.iterdir())
        self._saved = 0
        self.run(f"{click}, 0")
        end = time.monotonic() + 30
        while not self._saved:
            if time.monotonic() > end:
                raise AssertionError(f"'{click}' saved nothing; the page said {self.said}")
            self.run("0")
        (new,) = set(folder.iterdir()) - before
        return new

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """The window's size in CSS pixels."""
        sizes = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        self.page("Emulation.setDeviceMetricsOverride", **sizes)

    def picture(self, path: Path) -> Path:
        """The whole page as PNG."""
        found = self.page("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))
        return path

    def press(self, key: str) -> None:
        """Press and release a key, such as "ArrowRight" or "Tab"."""
        codes = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowRight": 39, " ": 32}
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.page("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=codes[key], **text)

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                address = params["request"]["url"]
                if not address.startswith(("blob:", "data:")):
                    self.requests.append(address)
            case "Target.attachedToTarget" if params["targetInfo"]["type"] == "worker":
                os.write(self._writes, self._silent(params["sessionId"], "Network.enable"))
                os.write(self._writes, self._silent(params["sessionId"], "Runtime.enable"))
            case "Browser.downloadProgress" if params["state"] == "completed":
                self._saved += 1
            case "Runtime.exceptionThrown":
                self.said.append(str(params["exceptionDetails"].get("exception", {}).get("description")))
            case "Runtime.consoleAPICalled":
                self.said.append(" ".join(str(each.get("value")) for each in params["args"]))
            case "Log.entryAdded":
                self.said.append(params["entry"]["text"])

    def _silent(self, session: str, method: str) -> bytes:
        return json.dumps({"id": 0, "sessionId": session, "method": method, "params": {}}).encode() + b"\0"

    def _next(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            try:
                part = os.read(self._reads, 2**20)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise AssertionError("the browser does not answer") from None
                time.sleep(0.005)
                continue
            if not part:
                raise AssertionError("the browser is gone")
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)
