"""A dashboard in a process of its own."""

import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request


class Served:
    """A dashboard in a process of its own."""

    def __init__(self, path, *options: str) -> None:
        command = [sys.executable, "-u", "-m", "hpo", "dashboard", "--database", str(path), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.line = self.process.stdout.readline()
        self.address = re.search(r"http://[^/]+:\d+", self.line)[0]

    def ask(self, path: str, method: str = "GET", host: str | None = None, body: bytes | None = None, **more: str):
        headers = {"Content-Type": "application/json", **more} | ({"Host": host} if host else {})
        request = urllib.request.Request(self.address + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=300) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def end(self) -> tuple[str, str]:
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=300)
