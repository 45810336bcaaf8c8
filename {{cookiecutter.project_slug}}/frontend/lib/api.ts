/** Client for the service's API in the browser: typed from OpenAPI, authenticated as the user. */
import { decodeJwt } from "jose";
import createClient from "openapi-fetch";
import type { paths } from "./api-types";
import { authClient } from "./auth-client";
import { Problem, unreachable } from "./problems";

export { answer } from "./problems";

interface Memory {
  owner?: string;
  token?: string;
  until?: number;
  fetching?: Promise<string>;
}

let memory: Memory = {};

/** Call this at sign-out. A token that is still being fetched is then discarded, too. */
export function forgetToken() {
  memory = {};
}

/** Call this with the user for whom the page was rendered. Tokens of others are then rejected. */
export function expectOwner(id: string) {
  memory.owner ??= id;
}

/** Returns a token that is still valid. Concurrent requests share one fetch. */
async function getToken(): Promise<string> {
  const mine = memory;
  if (mine.token && Date.now() < (mine.until ?? 0)) return mine.token;
  mine.fetching ??= fetchToken(mine).finally(() => {
    mine.fetching = undefined;
  });
  return mine.fetching;
}

async function fetchToken(mine: Memory): Promise<string> {
  const asked = Date.now();
  const { data, error } = await authClient.token().catch(() => {
    throw unreachable("This site");
  });
  if (error?.status === 401) {
    authClient.$store.notify("$sessionSignal"); // Makes useSession() refetch.
    throw new Problem("You are signed out. Sign in again, then retry.", 401);
  }
  if (error) throw new Problem("Signing in does not work just now. Try again.", error.status);

  const { exp = 0, iat = 0, sub } = decodeJwt(data.token);
  if (mine.owner && mine.owner !== sub) {
    throw new Problem("Somebody else has signed in in this browser. Reload the page.", 401);
  }
  // Nine tenths of its lifetime, by this machine's clock: the servers' clocks may differ from it.
  Object.assign(mine, { owner: sub, token: data.token, until: asked + (exp - iat) * 900 });
  return data.token;
}

/** Returns a new `Idempotency-Key`. Browsers have crypto.randomUUID only on https and localhost. */
export const newKey = () => `"${crypto.getRandomValues(new Uint32Array(4)).join("-")}"`;

async function authorizedFetch(request: Request): Promise<Response> {
  const again = request.clone(); // A body can be sent only once.
  const token = await getToken();
  const response = await send(request, token);
  if (response.status !== 401) return response;

  // Rejected before it expired: the keys may have changed. Try once more with a new token.
  if (memory.token === token) memory.token = undefined;
  return send(again, await getToken());
}

function send(request: Request, token: string): Promise<Response> {
  request.headers.set("Authorization", `Bearer ${token}`);
  return fetch(request, { signal: AbortSignal.timeout(10_000) });
}

export const api = createClient<paths>({
  baseUrl: process.env.NEXT_PUBLIC_API_URL,
  fetch: authorizedFetch,
});
