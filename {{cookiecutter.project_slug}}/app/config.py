"""Settings: every variable the service reads, with its type, its rule and its default."""

import json
import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.database_url import normalized

PROJECT = Path(__file__).parents[1]
UNSET = "is not set: it belongs in .env, or in the environment"


class ConfigurationError(Exception):
    """A variable is missing or wrong. The text is one line that names it, never its value."""


def _url(value: str) -> str:
    if not re.fullmatch(r"https?://[^/?#@\s]+([/?][^#\s]*)?", value):
        raise ValueError("must be an http:// or https:// URL without a user")
    urlsplit(value).port  # noqa: B018 - raises ValueError if it is none
    return value


def _issuer(value: str) -> str:
    if _url(value).endswith("/"):
        raise ValueError("must not end with a slash: it is compared byte for byte with iss")
    return value


def _origin(value: str) -> str:
    if not re.fullmatch(r"https?://[^/?#@\s]+", value):
        raise ValueError("must be origins, scheme://host[:port], without a path or a slash")
    return value


def _list(value: object) -> object:
    """A JSON list, or items with commas between them."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [item.strip() for item in value.split(",") if item.strip()]


def _rate(value: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,8}/(second|minute|hour|day)", value):
        raise ValueError("must be requests in a time, like 100/minute")
    return value


def _storage(value: SecretStr) -> SecretStr:
    if not re.match(r"(memory|rediss?)://", value.get_secret_value()):
        raise ValueError("must be memory://, or a redis:// or rediss:// URL")
    return value


Issuer = Annotated[str, AfterValidator(_issuer)]
Origin = Annotated[str, AfterValidator(_origin)]
Origins = Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_list)]
Seconds = Annotated[float, Field(gt=0, le=60)]
Rate = Annotated[str, AfterValidator(_rate)]
StorageUrl = Annotated[SecretStr, AfterValidator(_storage)]


class _Settings(BaseSettings):
    # The environment wins over .env; an empty value is an unset one; errors never show a value.
    model_config = SettingsConfigDict(
        env_file=PROJECT / ".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def load(cls) -> Self:
        """Read the environment and `.env`. Raises ConfigurationError for the first bad variable."""
        try:
            return cls()
        except ValidationError as error:
            first = error.errors(include_input=False, include_context=False)[0]
            variable = str(first["loc"][0]).upper()
            rule = UNSET if first["type"] == "missing" else first["msg"]
            raise ConfigurationError(f"{variable}: {rule.removeprefix('Value error, ')}") from None


class DatabaseSettings(_Settings):
    """What migrations need: they run without the service's secret."""

    database_url: SecretStr = SecretStr("{{ cookiecutter.__database_url }}")
    # jinja: if cookiecutter.database == "postgresql"
    database_transaction_pooling: bool = False
    # jinja: endif
    database_pool_size: int = Field(10, ge=1, le=1_000)
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
    jwks_cooldown_seconds: float = Field(5, gt=0, le=3_600)
    jwks_ttl_seconds: float = Field(300, gt=0, le=86_400)
    # jinja: endif
    jwt_audience: str = Field("http://localhost:8000", min_length=1)
    jwt_leeway_seconds: float = Field(5, ge=0, le=60)
    cors_origins: Origins = ("http://localhost:3000",)
    request_timeout_seconds: Seconds = 4.5
    rate_limit: Rate | None = None
    rate_limit_storage_url: StorageUrl = SecretStr("memory://")

    host: str = "127.0.0.1"
    port: int = Field(8_000, ge=1, le=65_535)
    workers: int = Field(1, ge=1, le=1_000)
    drain_seconds: float = Field(1, ge=0, le=300)
    shutdown_seconds: int = Field(10, ge=1, le=300)
