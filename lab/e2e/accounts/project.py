"""A project with email and sign-in with Google and GitHub, and the servers that it needs."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pytest

from lab.e2e.browser_user import CHROMIUM_FLAGS, BrowserUser
from lab.e2e.identity import CLIENT_ID, CLIENT_SECRET, IdentityProvider
from lab.e2e.mail import SECONDS, MailServer, mail_server
from lab.e2e.project_factory import ProjectFactory
from lab.e2e.stack import Stack, running
from lab.e2e.users import User
from lab.providers.servers import Authority
from lab.servers import wait_until
from tests.rendering import RenderedProject

SENDER = "Task Service <tasks@example.com>"
# Most tests use only the first one.
ACCOUNTS = (("sqlite", "shared-secret", "starttls"), ("postgresql", "jwks", "tls"))

every = pytest.mark.parametrize("accounts", ACCOUNTS, indirect=True, ids="-".join, scope="session")
first = pytest.mark.parametrize(
    "accounts", ACCOUNTS[:1], indirect=True, ids="-".join, scope="session"
)

Browse = Callable[[User], AbstractContextManager[BrowserUser]]


@dataclass(frozen=True)
class Accounts:
    stack: Stack
    mail: MailServer
    identity: IdentityProvider

    @property
    def chromium_flags(self) -> tuple[str, ...]:
        """Flags that send the browser's requests to Google and GitHub to the local provider."""
        return (*CHROMIUM_FLAGS, *self.identity.chromium_flags)

    @contextmanager
    def failing_email(self) -> Iterator[None]:
        """Wait, at the end of the block, until an email could not be sent.

        The frontend may send it after its response.
        """
        earlier = self._failed_emails()
        yield
        wait_until(lambda: self._failed_emails() > earlier, SECONDS, self.stack.log)

    def _failed_emails(self) -> int:
        return self.stack.log().count("Email was not sent")


@contextmanager
def running_accounts(
    factory: ProjectFactory, database: str, token_verification: str, encryption: str
) -> Iterator[Accounts]:
    """Run the production build until the block ends."""
    authority = Authority("End-to-end CA")
    folder = factory.install_packages(f"providers-{database}", "oidc-provider@~9.13").path
    identity = IdentityProvider(folder, authority)

    with mail_server(folder, authority, starttls=encryption == "starttls") as mail:

        def configure(project: RenderedProject) -> None:
            with (project.path / "frontend/.env.local").open("a") as settings:
                print(f"SMTP_URL={mail.url}", f'MAIL_FROM="{SENDER}"', file=settings, sep="\n")
                for name in ("GOOGLE", "GITHUB"):
                    print(f"{name}_CLIENT_ID={CLIENT_ID}", file=settings)
                    print(f"{name}_CLIENT_SECRET={CLIENT_SECRET}", file=settings)

        with running(
            factory,
            database,
            token_verification,
            production=True,
            change=configure,
            environment=identity.environment,
        ) as stack:
            identity.serve(stack.site_url)
            try:
                yield Accounts(stack, mail, identity)
            finally:
                identity.stop()
