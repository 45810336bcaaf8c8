/** The service's API: typed by its own OpenAPI document, called as the person who is signed in. */
import { decodeJwt } from "jose";
import createClient from "openapi-fetch";
import type { components, paths } from "./api-types";
import { authClient } from "./auth-client";
import { Problem, serviceProblem, unreachable } from "./problems";

export type Task = components["schemas"]["TaskRead"];
export type NewTask = components["schemas"]["TaskCreate"];

interface Memory {
  owner?: string;
  token?: string;
  until?: number;
  fetching?: Promise<string>;
}

let memory: Memory = {};

/** Call this at sign-out. A token still on its way then reaches a memory that nobody reads. */
export function forgetToken() {
  memory = {};
}

/** A token with some life left, fetched once however many calls wait for it. */
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
    authClient.$store.notify("$sessionSignal"); // Whoever uses useSession() learns of it as well.
    throw new Problem("You are signed out. Sign in again, then repeat this.", 401);
  }
  if (error) throw new Problem("Signing in does not work just now. Try again.", error.status);

  const { exp = 0, iat = 0, sub } = decodeJwt(data.token);
  if (mine.owner && mine.owner !== sub) {
    throw new Problem("Somebody else has signed in in this browser. Reload the page.", 401);
  }
  // Nine tenths of its life by this clock alone: the two servers' clocks may differ from it.
  Object.assign(mine, { owner: sub, token: data.token, until: asked + (exp - iat) * 900 });
  return data.token;
}

/** Returns a new `Idempotency-Key`. Browsers have crypto.randomUUID only on https and localhost. */
export const newKey = () => `"${crypto.getRandomValues(new Uint32Array(4)).join("-")}"`;

/**
 * Sends a POST up to three times until there is a response. All attempts have the same
 * Idempotency-Key, so the service executes only one of them.
 */
async function repeatedFetch(request: Request): Promise<Response> {
  // A repeated PATCH or DELETE would return 412 or 404 if only the first response was lost.
  if (request.method !== "POST") return authorizedFetch(request);

  if (!request.headers.has("Idempotency-Key")) request.headers.set("Idempotency-Key", newKey());
  for (let seconds of [0.5, 2]) {
    try {
      const response = await authorizedFetch(request.clone());
      await response.clone().arrayBuffer(); // The connection can also break within a response.
      const wait = Number(response.headers.get("Retry-After"));
      if (!(wait || [502, 503, 504].includes(response.status)) || wait > 5) return response;
      seconds = Math.max(seconds, wait);
    } catch (error) {
      if (error instanceof Problem) throw error; // There is no token.
    }
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
  return authorizedFetch(request);
}

async function authorizedFetch(request: Request): Promise<Response> {
  const again = request.clone(); // A body can be sent only once.
  const token = await getToken();
  const response = await send(request, token);
  if (response.status !== 401) return response;

  // Refused in spite of its age: perhaps keys were changed. One new token, one more try.
  if (memory.token === token) memory.token = undefined;
  return send(again, await getToken());
}

function send(request: Request, token: string): Promise<Response> {
  request.headers.set("Authorization", `Bearer ${token}`);
  return fetch(request, { signal: AbortSignal.timeout(10_000) });
}

export const api = createClient<paths>({
  baseUrl: process.env.NEXT_PUBLIC_API_URL,
  fetch: repeatedFetch,
});

/** What the service answered. Raises a Problem, in plain words, if it refused or did not answer. */
export async function answer<T>(
  call: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<T> {
  const { data, error, response } = await call.catch((reason) => {
    throw reason instanceof Problem ? reason : unreachable("The task service");
  });
  if (!response.ok) throw serviceProblem(response, error);
  return data as T;
}
