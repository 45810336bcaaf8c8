/** Client for the service's API in the browser: typed from OpenAPI, authenticated as the user. */
import { decodeJwt } from "jose";
import createClient from "openapi-fetch";
import { ApiError, connectionError } from "./api-errors";
import type { paths } from "./api-types";
import { authClient } from "./auth-client";

interface TokenCache {
  userId?: string;
  token?: string;
  expiresAt?: number;
  pending?: Promise<string>;
}

let cache: TokenCache = {};

/** Call this at sign-out. A token that is still being fetched is then discarded, too. */
export function clearToken() {
  cache = {};
}

/** Call this with the user for whom the page was rendered. Tokens of others are then rejected. */
export function expectUser(id: string) {
  cache.userId ??= id;
}

/** Returns a token that is still valid. Concurrent requests share one fetch. */
async function getToken(): Promise<string> {
  const current = cache; // clearToken() replaces it.
  if (current.token && Date.now() < (current.expiresAt ?? 0)) return current.token;
  current.pending ??= fetchToken(current).finally(() => {
    current.pending = undefined;
  });
  return current.pending;
}

async function fetchToken(current: TokenCache): Promise<string> {
  const requestedAt = Date.now();
  const { data, error } = await authClient.token().catch(() => {
    throw connectionError("This site");
  });
  if (error?.status === 401) {
    authClient.$store.notify("$sessionSignal"); // Makes useSession() refetch.
    throw new ApiError("You are signed out. Sign in again, then retry.", 401);
  }
  if (error) {
    throw new ApiError("Sign-in is temporarily unavailable. Try again in a moment.", error.status);
  }

  const { exp = 0, iat = 0, sub } = decodeJwt(data.token);
  if (current.userId && current.userId !== sub) {
    throw new ApiError("Another user has signed in with this browser. Reload the page.", 401);
  }
  // Nine tenths of its lifetime, by this machine's clock, which may differ from the servers'.
  const expiresAt = requestedAt + (exp - iat) * 900;
  Object.assign(current, { userId: sub, token: data.token, expiresAt });
  return data.token;
}

/** Returns a new `Idempotency-Key`. Browsers have crypto.randomUUID only on https and localhost. */
export const newIdempotencyKey = () => `"${crypto.getRandomValues(new Uint32Array(4)).join("-")}"`;

async function authorizedFetch(request: Request): Promise<Response> {
  const copy = request.clone(); // A body can be sent only once.
  const token = await getToken();
  const response = await send(request, token);
  if (response.status !== 401) return response;

  // Rejected before it expired: the keys may have changed. Try once more with a new token.
  if (cache.token === token) cache.token = undefined;
  return send(copy, await getToken());
}

function send(request: Request, token: string): Promise<Response> {
  request.headers.set("Authorization", `Bearer ${token}`);
  return fetch(request, { signal: AbortSignal.timeout(10_000) });
}

export const api = createClient<paths>({
  baseUrl: process.env.NEXT_PUBLIC_API_URL,
  fetch: authorizedFetch,
});
