/** Client for the service's API on the server, authenticated as the user who requests the page. */
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
    // Users see nothing while the server waits. The browser can show an error and retry.
    return fetch(request, { signal: AbortSignal.timeout(2_000) });
  },
});
