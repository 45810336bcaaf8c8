"""Somebody in front of a browser."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

from lab.e2e.people import PASSWORD, Person
from lab.e2e.stack import Stack

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


class Visitor:
    def __init__(self, page: Page, stack: Stack, axe: str, person: Person) -> None:
        page.set_default_timeout(PATIENCE)
        page.set_default_navigation_timeout(PATIENCE)
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page = page
        self.complaints: list[str] = []
        self._stack = stack
        self._axe = axe
        self._person = person

    def _listen(self, message: ConsoleMessage) -> None:
        # Applications, to which a test may be redirected, have no icon.
        foreign = message.location["url"].endswith("/favicon.ico")
        if message.type in ("error", "warning") and not foreign:
            self.complaints.append(f"{message.text} ({message.location['url']})")

    def expected(self, pattern: str) -> None:
        """Forget complaints that were provoked; there has to be one."""
        others = [text for text in self.complaints if not re.search(pattern, text)]
        assert len(others) < len(self.complaints), f"no complaint about {pattern}"
        self.complaints = others

    def open(self, path: str) -> None:
        self.page.goto(self._stack.site_url + path)

    def sees(self, text: str | re.Pattern[str]) -> None:
        expect(self.page.get_by_text(text).first).to_be_visible()

    def clicks(self, button: str) -> None:
        self.page.get_by_role("button", name=button).click()

    def fills_in(self, label: str, value: str) -> None:
        self.page.get_by_label(label).fill(value)

    def signs_up(self) -> None:
        self.fills_in("Name", self._person.name)
        self._sends_credentials(self._person, "Create account")

    def signs_in(self, person: Person) -> None:
        self._sends_credentials(person, "Sign in")

    def _sends_credentials(self, person: Person, button: str) -> None:
        self.fills_in("Email", person.email)
        self.fills_in("Password", PASSWORD)
        self.clicks(button)
        self.page.wait_for_url("**/")

    def signs_out(self) -> None:
        self.clicks("Sign out")
        self.page.wait_for_url("**/sign-in")

    def task(self, title: str) -> Locator:
        return self.page.get_by_role("checkbox", name=title)

    @property
    def new_task(self) -> Locator:
        return self.page.get_by_label("New task")

    def types(self, title: str) -> None:
        self.new_task.fill(title)
        self.new_task.press("Enter")

    def adds(self, title: str) -> None:
        self.types(title)
        expect(self.task(title)).to_be_visible()

    def toggles(self, title: str) -> None:
        """Returns when the service has taken it."""
        with self.page.expect_response(lambda response: response.request.method == "PATCH"):
            self.task(title).click()

    def filters(self, name: str) -> None:
        self.page.get_by_role("navigation", name="Show").get_by_role("link", name=name).click()

    def returns(self, *, from_tab: bool = False) -> None:
        """Return from another window, or from another tab, which hid this page."""
        self.page.evaluate("window.dispatchEvent(new Event('focus'))")
        if from_tab:
            self.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    def sees_tasks(self, *titles: str) -> None:
        """Exactly these, in this order."""
        rows = self.page.get_by_role("listitem")
        expect(rows.locator("label")).to_have_text(titles)

    @property
    def focused(self) -> Locator:
        return self.page.locator(":focus")

    def finds_no_barrier(self) -> None:
        """Nothing serious that keeps people with disabilities from using the page."""
        for scheme in ("dark", "light"):
            self.page.emulate_media(color_scheme=scheme)
            # Not as a script tag, which the page's own policy forbids.
            found = self.page.evaluate(f"() => {{ {self._axe}; return axe.run() }}")
            barriers = [each for each in found["violations"] if each["impact"] in SERIOUS]
            assert not barriers, [
                (each["id"], scheme, [node["html"] for node in each["nodes"]]) for each in barriers
            ]

    def shows(self, name: str) -> None:
        """The page has no barrier. With E2E_PICTURES, save screenshots of it under this name."""
        self.finds_no_barrier()
        size = self.page.viewport_size
        for width in WIDTHS if PICTURES else ():
            self.page.set_viewport_size({"width": WIDTHS[width], "height": 720})
            for scheme in ("light", "dark"):
                self.page.emulate_media(color_scheme=scheme)
                self.photographs(Path(PICTURES, f"{name}-{width}-{scheme}.png"), full_page=True)
        self.page.set_viewport_size(size)

    def photographs(self, file: Path, *, full_page: bool = False) -> None:
        self.page.screenshot(path=file, full_page=full_page, caret="initial", animations="disabled")


@contextmanager
def visiting(
    browser: Browser, stack: Stack, axe: str, person: Person, *, scripts: bool = True
) -> Iterator[Visitor]:
    """`person` at a browser of their own, signed in if they have an account."""
    context = browser.new_context(
        viewport={"width": 720, "height": 620}, reduced_motion="reduce", java_script_enabled=scripts
    )
    context.add_init_script(SEND_ADDRESS % person.address)
    context.add_cookies(
        [
            {"name": cookie.name, "value": cookie.value or "", "url": stack.site_url}
            for cookie in person.site.cookies.jar
        ]
    )
    visitor = Visitor(context.new_page(), stack, axe, person)
    try:
        yield visitor
    finally:
        context.close()
    assert not visitor.complaints, visitor.complaints
