"""What strict verification costs: TokenVerifier.verify against jwt.decode of the same token.

Run it in a rendered project. `first` is a token that the verifier has not seen before, `again` one
whose signature it has verified. Rounds are interleaved, since machines are noisy. The output is
JSON, with the microseconds of each round.
"""

import asyncio
import json
import time
from itertools import cycle
from typing import Any

import jwt

from app.config import Settings
from app.security.keys import key_source
from app.security.tokens import read_token
from app.security.verifier import MAX_REMEMBERED, TokenVerifier
from tests.issuer import running_issuer
from tests.tokens import AUDIENCE, BETTER_AUTH_URL, token

ROUNDS, CALLS = 15, 500


async def main() -> None:
    with running_issuer() as issuer:
        values: dict[str, Any] = {"better_auth_url": BETTER_AUTH_URL, **issuer.settings}
        keys = key_source(Settings(**values))
        verifier, other = (
            TokenVerifier(keys, issuer=BETTER_AUTH_URL, audience=AUDIENCE, leeway=5) for _ in "ab"
        )
        good = token(issuer, sub="Wb1yPxJMKTvXqJQmLbcBqvMkGqvZ0e7F")
        # More than it remembers, so that each one has been forgotten by its next turn.
        subjects = (
            f"Wb1yPxJMKTvXqJQmLbcBqvMkGqvZ{number:04}" for number in range(MAX_REMEMBERED + 1)
        )
        strangers = cycle([token(issuer, sub=subject) for subject in subjects])
        [key] = await keys.keys_for(read_token(good))

        async def first() -> None:
            await verifier.verify(next(strangers))

        async def again() -> None:
            await other.verify(good)

        async def bare() -> None:
            jwt.decode(
                good,
                key,
                algorithms=[issuer.algorithm],
                issuer=BETTER_AUTH_URL,
                audience=AUDIENCE,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )

        calls = {"bare": bare, "first": first, "again": again}
        microseconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, call in calls.items():
                start = time.perf_counter()
                for _ in range(CALLS):
                    await call()
                microseconds[name].append((time.perf_counter() - start) / CALLS * 1e6)
    print(json.dumps({"algorithm": issuer.algorithm, "microseconds": microseconds}))


asyncio.run(main())
