"""A user of the frontend in a browser."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

from lab.e2e.stack import Stack
from lab.e2e.users import PASSWORD, User

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Better Auth limits attempts by IP address. The API's CORS settings do not allow this header.
SEND_ADDRESS = """
  const fetchAnything = window.fetch;
  window.fetch = (resource, options) => {
    const request = new Request(resource, options);
    if (new URL(request.url).origin === location.origin)
      request.headers.set("X-Forwarded-For", "%s");
    return fetchAnything(request);
  };
"""
SERIOUS = ("serious", "critical")
# In development, Next compiles a page on its first request, while other tests use the machine too.
PATIENCE = 60_000  # milliseconds

# If set, screenshots of all pages are written to this folder, for a review.
PICTURES = os.environ.get("E2E_PICTURES")
WIDTHS = {"wide": 1280, "narrow": 360}

expect.set_options(timeout=PATIENCE)


class BrowserUser:
    def __init__(self, page: Page, stack: Stack, axe: str, user: User) -> None:
        page.set_default_timeout(PATIENCE)
        page.set_default_navigation_timeout(PATIENCE)
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.console_errors.append(str(error)))
        self.page = page
        self.console_errors: list[str] = []
        self._stack = stack
        self._axe = axe
        self._person = user

    def _listen(self, message: ConsoleMessage) -> None:
        # Applications, to which a test may be redirected, have no icon.
        foreign = message.location["url"].endswith("/favicon.ico")
        if message.type in ("error", "warning") and not foreign:
            self.console_errors.append(f"{message.text} ({message.location['url']})")

    def expect_console_error(self, pattern: str) -> None:
        """Remove expected errors from the console, of which there must be at least one."""
        others = [text for text in self.console_errors if not re.search(pattern, text)]
        assert len(others) < len(self.console_errors), f"no console error about {pattern}"
        self.console_errors = others

    def open(self, path: str) -> None:
        self.page.goto(self._stack.site_url + path)

    def expect_text(self, text: str | re.Pattern[str]) -> None:
        expect(self.page.get_by_text(text).first).to_be_visible()

    def click(self, button: str) -> None:
        self.page.get_by_role("button", name=button).click()

    def fill_in(self, label: str, value: str) -> None:
        self.page.get_by_label(label).fill(value)

    def sign_up(self) -> None:
        self.fill_in("Name", self._person.name)
        self._send_credentials(self._person, "Create account")

    def sign_in(self, user: User) -> None:
        self._send_credentials(user, "Sign in")

    def _send_credentials(self, user: User, button: str) -> None:
        self.fill_in("Email", user.email)
        self.fill_in("Password", PASSWORD)
        self.click(button)
        self.page.wait_for_url("**/")

    def sign_out(self) -> None:
        self.click("Sign out")
        self.page.wait_for_url("**/sign-in")

    def task(self, title: str) -> Locator:
        return self.page.get_by_role("checkbox", name=title)

    @property
    def new_task(self) -> Locator:
        return self.page.get_by_label("New task")

    def submit_task(self, title: str) -> None:
        self.new_task.fill(title)
        self.new_task.press("Enter")

    def add_task(self, title: str) -> None:
        self.submit_task(title)
        expect(self.task(title)).to_be_visible()

    def toggle(self, title: str) -> None:
        """Toggle a task, and wait for the response."""
        with self.page.expect_response(lambda response: response.request.method == "PATCH"):
            self.task(title).click()

    def filter(self, name: str) -> None:
        self.page.get_by_role("navigation", name="Show").get_by_role("link", name=name).click()

    def refocus(self, *, from_tab: bool = False) -> None:
        """Return from another window, or from another tab, which hid this page."""
        self.page.evaluate("window.dispatchEvent(new Event('focus'))")
        if from_tab:
            self.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    def expect_tasks(self, *titles: str) -> None:
        """Expect exactly these tasks, in this order."""
        rows = self.page.get_by_role("listitem")
        expect(rows.locator("label")).to_have_text(titles)

    @property
    def focused(self) -> Locator:
        return self.page.locator(":focus")

    def check_accessibility(self) -> None:
        """Check that axe finds no serious accessibility problem."""
        for scheme in ("dark", "light"):
            self.page.emulate_media(color_scheme=scheme)
            # Not as a script tag, which the page's content security policy forbids.
            found = self.page.evaluate(f"() => {{ {self._axe}; return axe.run() }}")
            barriers = [each for each in found["violations"] if each["impact"] in SERIOUS]
            assert not barriers, [
                (each["id"], scheme, [node["html"] for node in each["nodes"]]) for each in barriers
            ]

    def check_page(self, name: str) -> None:
        """Check accessibility. With E2E_PICTURES, save screenshots under this name."""
        self.check_accessibility()
        size = self.page.viewport_size
        for width in WIDTHS if PICTURES else ():
            self.page.set_viewport_size({"width": WIDTHS[width], "height": 720})
            for scheme in ("light", "dark"):
                self.page.emulate_media(color_scheme=scheme)
                self.screenshot(Path(PICTURES, f"{name}-{width}-{scheme}.png"), full_page=True)
        self.page.set_viewport_size(size)

    def screenshot(self, file: Path, *, full_page: bool = False) -> None:
        self.page.screenshot(path=file, full_page=full_page, caret="initial", animations="disabled")


@contextmanager
def browsing(
    browser: Browser, stack: Stack, axe: str, user: User, *, scripts: bool = True
) -> Iterator[BrowserUser]:
    """Open a new browser context for the user, signed in if they have an account."""
    context = browser.new_context(
        viewport={"width": 720, "height": 620}, reduced_motion="reduce", java_script_enabled=scripts
    )
    context.add_init_script(SEND_ADDRESS % user.address)
    context.add_cookies(
        [
            {"name": cookie.name, "value": cookie.value or "", "url": stack.site_url}
            for cookie in user.site.cookies.jar
        ]
    )
    browser_user = BrowserUser(context.new_page(), stack, axe, user)
    try:
        yield browser_user
    finally:
        context.close()
    assert not browser_user.console_errors, browser_user.console_errors
