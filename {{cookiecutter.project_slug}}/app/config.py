"""The settings: each variable that the service reads, with its type, rule and default."""

import json
import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from app.database_url import normalized
from app.env_file import EnvFileError, check_env_file

PROJECT = Path(__file__).parents[1]
UNSET = "is not set. Set it in .env or in the environment"


class ConfigurationError(Exception):
    """A setting, or `.env` itself, is missing or invalid. The message is one line with its name.

    The message never shows a value, except the correct form of an origin.
    """


def _url(value: str) -> str:
    if not re.fullmatch(r"https?://[^/?#@\s]+([/?][^#\s]*)?", value):
        raise ValueError("must be an http:// or https:// URL without a user")
    urlsplit(value).port  # noqa: B018 - raises ValueError if the port is invalid
    return value


def _issuer(value: str) -> str:
    origin = browser_origin(value)
    if origin and value != origin and not value.startswith((f"{origin}/", f"{origin}?")):
        raise ValueError(f"must begin with the form that browsers send: {origin}")
    if _url(value).endswith("/"):
        raise ValueError("must not end with a slash: it is compared byte for byte with iss")
    if "?" in value or not origin:
        raise ValueError("must be an http:// or https:// URL without a user or a query")
    return value


def _origin(value: str) -> str:
    origin = browser_origin(value)
    if origin is None:
        raise ValueError("must be origins, scheme://host[:port], without a path or a slash")
    if origin != value:
        raise ValueError(f"must have the form that browsers send: {origin}")
    return value


def browser_origin(url: str) -> str | None:
    """Return the origin of an HTTP URL as browsers write it, or None if that is uncertain.

    Scheme and host are in lower case, IDNs in punycode, IP addresses in canonical form, and the
    scheme's default port is left out (URL Standard, sections 3.5 and 4.5).
    """
    parts = re.match(r"(?i)(https?)://(\[[^]%]*]|[^][/?#@:\s]*)(?::([0-9]*))?(?=[/?#]|$)", url)
    if not parts:
        return None
    scheme, port = parts[1].lower(), int(parts[3] or 0)
    try:
        host = _host(parts[2].lower())
    except ValueError:
        return None
    if not 0 <= port <= 65_535 or (parts[3] and not port):
        return None
    shown = f":{port}" if port and port != {"http": 80, "https": 443}[scheme] else ""
    return f"{scheme}://{host}{shown}"


def _host(host: str) -> str:
    """Return a host as browsers write it. Raises ValueError if they reject it or may differ."""
    if host.startswith("["):
        address = IPv6Address(host[1:-1])
        # Python's text form of IPv4-mapped addresses differs between versions.
        number = int(address.ipv4_mapped or 0)
        mapped = f"::ffff:{number >> 16:x}:{number & 0xFFFF:x}"
        return f"[{mapped if address.ipv4_mapped else address}]"
    name = host.encode("idna")
    # Python implements only IDNA 2003. Where IDNA 2003 is lossy, browsers get another result.
    if not host.isascii() and name.decode("idna") != host:
        raise ValueError
    if not re.fullmatch(r"[a-z0-9_.-]+", ascii_name := name.decode().lower()):
        raise ValueError
    if re.search(r"(^|\.)(0x[0-9a-f]*|[0-9]+)\.?$", ascii_name):  # browsers parse an IPv4 address
        return str(IPv4Address(ascii_name))
    return ascii_name


def _list(value: object) -> object:
    """Parse a JSON list or comma-separated items."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("must be a JSON list, or items separated by commas") from None
    return [item.strip() for item in value.split(",") if item.strip()]


def _rate(value: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,8}/(second|minute|hour|day)", value):
        raise ValueError("must be a number of requests per period, such as 100/minute")
    return value


def _storage(value: SecretStr) -> SecretStr:
    if not re.match(r"(memory|rediss?)://", value.get_secret_value()):
        raise ValueError("must be memory://, or a redis:// or rediss:// URL")
    return value


def _root_path(value: str) -> str:
    if not re.fullmatch(r"(/[\w~-][\w.~-]*)*", value, re.ASCII):
        raise ValueError("must begin with a slash and not end with one, like /tasks")
    return value


def _is_address(value: str) -> bool:
    """Return whether the service can listen on this host: an IP address or localhost."""
    try:
        return value == "localhost" or bool(ip_address(value))
    except ValueError:
        return False


def _address(value: str) -> str:
    if not _is_address(value):
        raise ValueError("must be an IP address to listen on, or localhost")
    return value


Issuer = Annotated[str, AfterValidator(_issuer)]
Origin = Annotated[str, AfterValidator(_origin)]
Origins = Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_list)]
Seconds = Annotated[float, Field(gt=0, le=60)]
Rate = Annotated[str, AfterValidator(_rate)]
StorageUrl = Annotated[SecretStr, AfterValidator(_storage)]
RootPath = Annotated[str, AfterValidator(_root_path)]
Address = Annotated[str, AfterValidator(_address)]


class _Environment(EnvSettingsSource):
    """The environment, without a `HOST` that is not an address.

    Conda, tcsh and zsh set `HOST` to the name or type of the machine.
    """

    def __call__(self) -> dict[str, Any]:
        values = super().__call__()
        if not _is_address(values.get("host", "localhost")):
            del values["host"]
        return values


class _Settings(BaseSettings):
    # The environment overrides .env. Empty values count as unset. Errors never show a value.
    model_config = SettingsConfigDict(
        env_file=PROJECT / ".env",
        env_file_encoding="utf-8-sig",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Environment(settings_cls), dotenv_settings

    @classmethod
    def load(cls) -> Self:
        """Read the environment and `.env`. Raises ConfigurationError for the first bad variable."""
        try:
            check_env_file(PROJECT / ".env")
            return cls()
        except EnvFileError as error:
            raise ConfigurationError(str(error)) from None
        except ValidationError as error:
            first = error.errors(include_input=False, include_context=False)[0]
            variable = str(first["loc"][0]).upper()
            rule = UNSET if first["type"] == "missing" else first["msg"]
            raise ConfigurationError(f"{variable}: {rule.removeprefix('Value error, ')}") from None


class DatabaseSettings(_Settings):
    """The settings for migrations, which run without the service's secret."""

    database_url: SecretStr = SecretStr("{{ cookiecutter.__database_url }}")
    # jinja: if cookiecutter.database == "postgresql"
    database_transaction_pooling: bool = False
    # jinja: endif
    database_pool_size: int = Field(default=10, ge=1, le=1_000)
    database_pool_timeout_seconds: Seconds = 2
    database_statement_timeout_seconds: Seconds = 2

    @field_validator("database_url")
    @classmethod
    def _is_usable(cls, value: SecretStr) -> SecretStr:
        return SecretStr(normalized(value.get_secret_value(), PROJECT))


class Settings(DatabaseSettings):
    better_auth_url: Issuer = "http://localhost:3000"
    # jinja: if cookiecutter.token_verification == "shared-secret"
    better_auth_secret: SecretStr
    better_auth_secret_previous: SecretStr | None = None

    @field_validator("better_auth_secret", "better_auth_secret_previous")
    @classmethod
    def _is_random(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        secret = value.get_secret_value()
        if len(secret) < 32:
            raise ValueError("must have at least 32 characters: try openssl rand -base64 32")
        # The first one is what Better Auth itself falls back to.
        placeholder = r"(?i)better.auth.secret|change.?(me|this)|replace.?(me|this)|your.?secret"
        if len(set(secret)) <= 2 or re.search(placeholder, secret):
            raise ValueError("must not be a placeholder: try openssl rand -base64 32")
        return value

    # jinja: else
    jwks_url: Annotated[str, AfterValidator(_url)] = Field(
        default_factory=lambda settings: f"{settings.get('better_auth_url')}/api/auth/jwks"
    )
    jwks_cooldown_seconds: float = Field(default=5, gt=0, le=3_600)
    jwks_ttl_seconds: float = Field(default=300, gt=0, le=86_400)
    # jinja: endif
    jwt_audience: str = Field(default="http://localhost:8000", min_length=1)
    jwt_leeway_seconds: float = Field(default=5, ge=0, le=60)
    cors_origins: Origins = ("http://localhost:3000",)
    request_timeout_seconds: Seconds = 4.5
    rate_limit: Rate | None = None
    rate_limit_storage_url: StorageUrl = SecretStr("memory://")

    root_path: RootPath = ""

    host: Address = "127.0.0.1"
    port: int = Field(default=8_000, ge=1, le=65_535)
    workers: int = Field(default=1, ge=1, le=1_000)
    forwarded_allow_ips: str = "127.0.0.1,::1"
    # Longer than the 60 seconds of most load balancers, so that they close connections first.
    keep_alive_seconds: int = Field(default=75, ge=1, le=3_600)
    drain_seconds: float = Field(default=1, ge=0, le=300)
    shutdown_seconds: int = Field(default=10, ge=1, le=300)
