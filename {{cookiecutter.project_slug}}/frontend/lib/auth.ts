import { type BetterAuthOptions, betterAuth } from "better-auth";
import { APIError } from "better-auth/api";
import { nextCookies } from "better-auth/next-js";
import { database } from "./database-{{ cookiecutter.database }}";
import { env } from "./env";
import { tokens } from "./tokens-{{ cookiecutter.token_verification }}";

export const auth = betterAuth({
  baseURL: env.issuer,
  secret: env.secret,
  database,
  emailAndPassword: { enabled: true, minPasswordLength: 8 },
  user: {
    deleteUser: { enabled: true, beforeDelete: (_user, request) => eraseTasks(request) },
  },
  // No session.cookieCache: with it, a session that was ended could still fetch tokens for a while.
  plugins: [
    tokens,
    nextCookies(), // It must be the last one.
  ],
} satisfies BetterAuthOptions);

/**
 * Erases everything the service holds of the caller. Raises an APIError if that fails, and the
 * account then stays: better a deletion to repeat than tasks that nobody can reach any more.
 */
async function eraseTasks(request?: Request): Promise<void> {
  try {
    const { token } = await auth.api.getToken({ headers: new Headers(request?.headers) });
    const response = await fetch(`${env.apiUrl}/api/v1/me`, {
      method: "DELETE",
      headers: { Authorization: `Bearer ${token}` },
      redirect: "error",
      signal: AbortSignal.timeout(10_000),
    });
    if (!response.ok) throw new Error(`the service answered ${response.status}`);
  } catch (error) {
    console.error("An account was not deleted, for its tasks could not be:", error);
    throw new APIError("SERVICE_UNAVAILABLE", {
      code: "TASKS_NOT_DELETED",
      message: "Your tasks could not be deleted just now, so your account was kept.",
    });
  }
}
