"""Show how many tests are done and which ones are running, instead of a dot for each test.

On a terminal this is one line that is rewritten. Elsewhere, as in CI logs, a new line is printed
every few seconds.
"""

import shutil
import sys
import time

import pytest

EVERY = 10  # seconds between lines without a terminal


class Progress:
    def __init__(self) -> None:
        self._running: dict[str, None] = {}
        self._total = self._done = self._failed = 0
        self._is_terminal = sys.stdout.isatty()
        self._next = 0.0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._total = len(session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self._total = len(ids)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._running[nodeid] = None
        self._show()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._running.pop(nodeid, None)
        self._done += 1
        self._show()

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        if report.passed:
            return ("passed" if report.when == "call" else "", "", "")
        if report.when == "call" and report.failed:
            self._failed += 1
        return None

    def pytest_sessionfinish(self) -> None:
        if self._is_terminal:
            print("\r\x1b[K", end="", flush=True)

    def _show(self) -> None:
        now = time.monotonic()
        if not self._is_terminal and now < self._next:
            return
        self._next = now + EVERY
        failed = f", {self._failed} failed" if self._failed else ""
        running = ", ".join(test.partition("/")[2] for test in self._running)
        line = f"{self._done} of {self._total}{failed}: {running}"
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{line[:width]}", end="", flush=True)
        else:
            print(line, flush=True)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Progress())
