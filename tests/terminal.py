"""Run a command on a pseudo-terminal, send input and read its output."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# Background processes ignore Ctrl-C, and so would commands of tests that run there.
ON_A_TERMINAL = """
import os, pty, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
"""


class Terminal:
    def __init__(self, command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        self.seen = ""
        self._answered = 0
        self._process = subprocess.Popen(
            [sys.executable, "-c", ON_A_TERMINAL, *command],
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def wait_for(self, text: str, seconds: float = 60) -> None:
        """Read until the text appears after all text that was waited for before."""
        deadline = time.monotonic() + seconds
        while (found := self.seen.find(text, self._answered)) < 0:
            assert self._read(deadline), f"No {text!r} in {self.seen}"
        self._answered = found + len(text)

    def type(self, line: str) -> None:
        os.write(self._process.stdin.fileno(), f"{line}\n".encode())

    def end(self, seconds: float = 60) -> int:
        """Read until the command exits, and return its status."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        self._process.stdin.close()
        self._process.stdout.close()
        return self._process.wait(timeout=60)

    def _read(self, deadline: float) -> bool:
        output = self._process.stdout
        if not select.select([output], [], [], max(0, deadline - time.monotonic()))[0]:
            return False
        data = os.read(output.fileno(), 4096)
        self.seen += data.decode(errors="replace")
        return bool(data)
