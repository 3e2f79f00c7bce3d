"""A headless Chromium that tests drive, over its own protocol and nothing but the standard library."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

__all__ = ["Browser", "find_browser"]

_SECONDS = 40


def find_browser() -> str | None:
    """Return the path of a Chromium, if there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """A browser with one page.

    It is told what to do through two pipes.  A shell starts it and ends, so that it is no
    child of the tests, which look for children that were left.
    """

    def __init__(self, program: str) -> None:
        self._home = tempfile.mkdtemp(prefix="chromium-of-a-test-")
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        self._buffer = b""
        self._number = self._opened = 0
        self.complaints: list[str] = []
        options = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --hide-scrollbars"
        command = (
            f"exec 3<&{to_browser} 4>&{from_browser}; '{program}' {options} --force-device-scale-factor=1 "
            f"--remote-debugging-pipe --user-data-dir='{self._home}' about:blank >'{self._home}/log' 2>&1 & echo $!"
        )
        started = subprocess.run(
            ["bash", "-c", command],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=_SECONDS,
        )
        self._pid = int(started.stdout)
        os.close(to_browser)
        os.close(from_browser)
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    # -- the protocol --------------------------------------------------------------

    def call(self, method: str, **params: Any) -> Any:
        """Call a method of the page's."""
        return self._call(method, session=self._session, **params)

    def _call(self, method: str, session: str | None = None, **params: Any) -> Any:
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer.get('error')}"
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + _SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            chunk = os.read(self._read, 1 << 16) if ready else b""
            assert chunk, f"the browser says nothing: {Path(self._home, 'log').read_text()[-2000:]}"
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        self._listen(message)
        return message

    def _listen(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(str(params["exceptionDetails"].get("exception", params["exceptionDetails"])))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.complaints.append(str(params["args"]))
            case "Log.entryAdded" if params["entry"]["source"] != "rendering":  # reading pixels back is slow, we know
                self.complaints.append(str(params["entry"]))
            case "Network.requestWillBeSent" if not params["request"]["url"].startswith(("file:", "data:")):
                self.complaints.append(f"asked for {params['request']['url']}")

    # -- what tests do -------------------------------------------------------------

    def open(self, page: Path, *, width: int = 1300, height: int = 900, dark: bool = False) -> None:
        """Show a file, and wait until its script is through."""
        self.complaints.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self._opened += 1  # a new address each time, so that it is loaded anew
        answer = self.call("Page.navigate", url=f"file://{page}?{self._opened}")
        assert "errorText" not in answer, answer
        ready = (
            f"location.search === '?{self._opened}' && window.timeline !== undefined && window.timeline.ready === true"
        )
        until = time.monotonic() + _SECONDS
        while not self.evaluate(ready):
            assert time.monotonic() < until, (
                f"the page is not ready: {self.complaints} {self.evaluate('location.href')}"
            )
        self.settle()

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript; what it throws is an AssertionError."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def mouse(self, kind: str, x: float, y: float, **params: Any) -> None:
        """Move, press or release the mouse, or turn its wheel."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **params)
        self.settle()

    def click(self, x: float, y: float, count: int = 1) -> None:
        """Click, once or twice."""
        for turn in range(1, count + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self.mouse(kind, x, y, button="left", buttons=1, clickCount=turn)

    def key(self, key: str) -> None:
        """Press a key."""
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)
        self.settle()

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Write a picture of the page."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        """End it, and remove what it wrote."""
        with contextlib.suppress(AssertionError, OSError):
            self._call("Browser.close")
        with contextlib.suppress(AssertionError, OSError):
            while True:  # until the pipe is closed, which is when it has ended
                self._next()
        os.close(self._write)
        os.close(self._read)
        with contextlib.suppress(ProcessLookupError):
            if b"chrom" in Path(f"/proc/{self._pid}/cmdline").read_bytes():
                os.kill(self._pid, signal.SIGKILL)
        shutil.rmtree(self._home, ignore_errors=True)
