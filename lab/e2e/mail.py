"""An SMTP server that keeps the messages it receives, and can fail as real servers do."""

import asyncio
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from lab.providers.servers import Authority
from lab.servers import free_ports, wait_until

USER, PASSWORD = "postmaster", "pa:ss/w@rd #1%"  # with characters that a URL must percent-encode
QUOTED = "pa%3Ass%2Fw%40rd%20%231%25"
SECONDS = 30
LINK = re.compile(r"^https?://\S+$", re.MULTILINE)


def text(message: EmailMessage) -> str:
    """Return the plain text, which every message must have: not all programs show HTML."""
    body = message.get_body(("plain",))
    assert body, message.as_string()
    return body.get_content()


def link(message: EmailMessage) -> str:
    """Return the only link, on a line of its own; if there is HTML, it must have it, too."""
    [found] = LINK.findall(text(message).replace("\r\n", "\n"))
    html = message.get_body(("html",))
    assert html is None or found.replace("&", "&amp;") in html.get_content()
    return found


class Listener(Controller):
    """Unlike aiosmtpd's own controller, also closes open connections when it stops."""

    def __init__(self, *arguments: object, **options: object) -> None:
        self._connections: list[SMTP] = []
        super().__init__(*arguments, **options)

    def factory(self) -> SMTP:
        connection = super().factory()
        self._connections.append(connection)
        return connection

    def stop(self, no_assert: bool = False) -> None:
        asyncio.run_coroutine_threadsafe(self._abort(), self.loop).result()
        super().stop(no_assert)

    async def _abort(self) -> None:
        for connection in self._connections:
            if connection.transport:
                connection.transport.abort()
        await asyncio.sleep(0)


def summary(message: EmailMessage) -> str:
    return f"{message['To']}: {message['Subject']}"


class MailServer:
    """Accept messages from one user, with STARTTLS as on port 587, or TLS as on port 465.

    Clients must trust the authority's certificate.
    """

    def __init__(self, folder: Path, authority: Authority, *, starttls: bool = True) -> None:
        [self._port] = free_ports(1)
        certificate = authority.write_pair(folder, "mail", "127.0.0.1")
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self._starttls = starttls
        self.received: list[EmailMessage] = []
        self._password = PASSWORD
        self._refused: str | None = None
        self._rejections = 0
        self._delay = 0.0
        self._listener: Listener | None = None
        scheme = "smtp" if starttls else "smtps"
        self.url = f"{scheme}://{USER}:{QUOTED}@127.0.0.1:{self._port}"

    def start(self) -> None:
        tls = {"tls_context": self._tls, "require_starttls": True}
        self._listener = Listener(
            self,
            hostname="127.0.0.1",
            port=self._port,
            ssl_context=None if self._starttls else self._tls,
            authenticator=self._authenticate,
            auth_require_tls=self._starttls,
            **(tls if self._starttls else {}),
        )
        self._listener.start()

    def stop(self) -> None:
        if self._listener:
            self._listener.stop()
            self._listener = None

    def _authenticate(
        self, _server: object, _session: Session, _envelope: Envelope, _how: str, given: object
    ) -> AuthResult:
        expected = LoginPassword(USER.encode(), self._password.encode())
        # With `handled`, the server would leave the response to this function.
        return AuthResult(success=given == expected, handled=False)

    async def handle_RCPT(
        self, _: object, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        # aiosmtpd's own check does not recognize a connection that begins with TLS.
        if not session.authenticated:
            return "530 5.7.0 Authentication required"
        if address == self._refused:
            self._rejections += 1
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _: object, __: Session, envelope: Envelope) -> str:
        message = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        assert isinstance(message, EmailMessage)
        assert envelope.rcpt_tos == [message["To"]]
        await asyncio.sleep(self._delay)
        self.received.append(message)
        return "250 OK"

    def to(self, address: str, about: str = "") -> list[EmailMessage]:
        """Return the messages to this address whose subject contains `about`, oldest first."""
        return [
            message
            for message in self.received
            if message["To"] == address and about in message["Subject"]
        ]

    def next(self, address: str, about: str, after: int = 0) -> EmailMessage:
        """Wait for the next message after the first `after` ones, and return it."""
        wait_until(
            lambda: len(self.to(address, about)) > after,
            SECONDS,
            lambda: f"no email to {address} about {about}: {[*map(summary, self.received)]}",
        )
        return self.to(address, about)[after]

    @contextmanager
    def refusing_connections(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Accept connections, but never send SMTP's greeting."""
        self.stop()
        try:
            with socket.create_server(("127.0.0.1", self._port)):
                yield
        finally:
            self.start()

    @contextmanager
    def other_password(self) -> Iterator[None]:
        """Reject the user's password with 535."""
        self._password = "changed"
        try:
            yield
        finally:
            self._password = PASSWORD

    @contextmanager
    def without(self, address: str) -> Iterator[None]:
        """Reject this recipient with 550. The block must cause an email to it.

        The frontend may send the email after its response, so the end of the block waits for it.
        """
        earlier = self._rejections
        self._refused = address
        try:
            yield
            wait_until(lambda: self._rejections > earlier, SECONDS, lambda: f"none to {address}")
        finally:
            self._refused = None

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """Take this long to accept each message."""
        self._delay = seconds
        try:
            yield
        finally:
            self._delay = 0


@contextmanager
def mail_server(
    folder: Path, authority: Authority, *, starttls: bool = True
) -> Iterator[MailServer]:
    server = MailServer(folder, authority, starttls=starttls)
    server.start()
    try:
        yield server
    finally:
        server.stop()
