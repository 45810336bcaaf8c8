/** Client for the service's API in pages on the server, on behalf of the signed-in user. */
import { headers } from "next/headers";
import createClient from "openapi-fetch";
import type { paths } from "./api-types";
import { auth } from "./auth";
import { env } from "./env";

export const api = createClient<paths>({
  baseUrl: env.apiUrl,
  async fetch(request) {
    const { token } = await auth.api.getToken({ headers: await headers() });
    request.headers.set("Authorization", `Bearer ${token}`);
    // The user sees nothing while the server waits. The browser can show the error and retry.
    return fetch(request, { signal: AbortSignal.timeout(2_000) });
  },
});
