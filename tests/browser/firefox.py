"""Any Firefox that is installed, driven through Marionette, as WebDriver's own servers do it."""

import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("firefox", "firefox-esr")
PREFERENCES = {
    "app.update.disabledForTesting": True,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "marionette.port": 0,  # one that is free; a file of the profile tells which
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "ui.prefersReducedMotion": 1,
}
PATIENCE = 300  # seconds; a busy machine is slow, not wrong


def find_firefox() -> str | None:
    """Return the browser: ``$FIREFOX``, or the first of `NAMES` on the path, or none."""
    return os.environ.get("FIREFOX") or next(filter(None, map(shutil.which, NAMES)), None)


class Firefox:
    """One window of a Firefox with a profile of its own in `folder`."""

    def __init__(self, executable: str, folder: Path) -> None:
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in PREFERENCES.items()]
        (folder / "user.js").write_text("".join(lines))
        command = [executable, "--headless", "--marionette", "--no-remote", "--profile", folder]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._asked = 0
        port = folder / "MarionetteActivePort"
        wait_for(lambda: port.is_file() and port.read_text())
        address = ("127.0.0.1", int(port.read_text()))
        self._socket = socket.create_connection(address, timeout=PATIENCE)
        self._answers = self._socket.makefile("rb")
        self._read()  # it says who it is
        self("WebDriver:NewSession")

    def _read(self) -> Any:
        length = b""
        while (digit := self._answers.read(1)) != b":":
            length += digit
        return json.loads(self._answers.read(int(length)))

    def __call__(self, command: str, **parameters: Any) -> Any:
        """Return the answer to one command of WebDriver."""
        self._asked += 1
        message = json.dumps([0, self._asked, command, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, number, error, answer = self._read()
        assert number == self._asked
        assert error is None, error
        return answer

    def open(self, address: str) -> None:
        """Load a page."""
        self("WebDriver:Navigate", url=address)

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what the body of a function returns, inside the page."""
        return self("WebDriver:ExecuteScript", script=script, args=arguments, sandbox=None)["value"]

    def drag(self, *places: tuple[float, float]) -> None:
        """Press the mouse at the first of some places in the window, move on, and let go."""
        steps = [{"type": "pointerMove", "x": round(x), "y": round(y)} for x, y in places]
        steps = [steps[0], {"type": "pointerDown", "button": 0}, *steps[1:]]
        steps.append({"type": "pointerUp", "button": 0})
        mouse = {"type": "pointer", "id": "mouse", "actions": steps}
        self("WebDriver:PerformActions", actions=[mouse])

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.terminate()
        self._process.wait()


def wait_for(holds: Any) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it has not come to pass"
        time.sleep(0.1)
