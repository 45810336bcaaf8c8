"""What strict verifying costs: TokenVerifier.verify against a bare jwt.decode of the same token.

Run by `make bench`, in a rendered project. Rounds of both are interleaved, since machines are
noisy; the figure is the ratio of the medians, its spread that of the rounds.
"""

import asyncio
import json
import statistics
import time
from typing import Any

import jwt

from app.config import Settings
from app.security.keys import key_source
from app.security.tokens import read_token
from app.security.verifier import TokenVerifier
from tests.issuer import running_issuer
from tests.tokens import AUDIENCE, BETTER_AUTH_URL, token

ROUNDS, CALLS = 15, 2_000


async def main() -> None:
    with running_issuer() as issuer:
        values: dict[str, Any] = {"better_auth_url": BETTER_AUTH_URL, **issuer.settings}
        keys = key_source(Settings(**values))
        verifier = TokenVerifier(keys, issuer=BETTER_AUTH_URL, audience=AUDIENCE, leeway=5)
        good = token(issuer, sub="Wb1yPxJMKTvXqJQmLbcBqvMkGqvZ0e7F")
        [key] = await keys.keys_for(read_token(good))

        async def strict() -> None:
            await verifier.verify(good)

        async def bare() -> None:
            jwt.decode(
                good,
                key,
                algorithms=[issuer.algorithm],
                issuer=BETTER_AUTH_URL,
                audience=AUDIENCE,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )

        seconds: dict[str, list[float]] = {"strict": [], "bare": []}
        for _ in range(ROUNDS):
            for name, call in (("strict", strict), ("bare", bare)):
                start = time.perf_counter()
                for _ in range(CALLS):
                    await call()
                seconds[name].append((time.perf_counter() - start) / CALLS)
    ratios = sorted(a / b for a, b in zip(seconds["strict"], seconds["bare"], strict=True))
    figures = {name: round(statistics.median(each) * 1e6, 1) for name, each in seconds.items()}
    print(json.dumps({
        "algorithm": issuer.algorithm,
        "microseconds": figures,
        "ratio": round(figures["strict"] / figures["bare"], 2),
        "spread": [round(ratios[0], 2), round(ratios[-1], 2)],
    }))  # fmt: skip


asyncio.run(main())
