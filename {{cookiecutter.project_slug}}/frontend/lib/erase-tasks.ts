import type { BetterAuthPlugin } from "better-auth";
import { APIError, createAuthMiddleware } from "better-auth/api";
import type { auth } from "./auth";
import { env } from "./env";

/**
 * Makes Better Auth remove a user only after the service has erased the user's tasks, no matter who
 * removes the user. Call it once, with an `auth` whose plugins include `keepSessions`.
 */
export async function eraseTasksOnRemoval({ $context, api }: typeof auth): Promise<void> {
  // All endpoints of Better Auth that remove a user call this function, and so do scripts. The
  // database hook `user.delete.before` runs too late: sessions and credentials are already deleted.
  const { internalAdapter } = await $context;
  const { deleteUser } = internalAdapter;
  internalAdapter.deleteUser = async (userId) => {
    await eraseTasks(userId, api);
    await deleteUser(userId);
  };
}

// These endpoints end the sessions before they call deleteUser, which does it as well.
const ENDING_SESSIONS_FIRST = ["/admin/remove-user", "/delete-anonymous-user"];

/** Keeps the sessions of a user who is not removed because the tasks could not be erased. */
export const keepSessions = {
  id: "keep-sessions",
  hooks: {
    before: [
      {
        matcher: ({ path }) => ENDING_SESSIONS_FIRST.includes(path ?? ""),
        handler: createAuthMiddleware(async () => ({
          context: { context: { internalAdapter: { deleteUserSessions: async () => {} } } },
        })),
      },
    ],
  },
} satisfies BetterAuthPlugin;

/** Erases everything the service stores for a user. Throws an APIError if that fails. */
async function eraseTasks(userId: string, api: (typeof auth)["api"]): Promise<void> {
  try {
    const now = Math.floor(Date.now() / 1000);
    // A token of the user, signed without a session: only code on this server can do that.
    const { token } = await api.signJWT({
      body: { payload: { sub: userId, iat: now, exp: now + 60 } },
    });
    const response = await fetch(`${env.apiUrl}/api/v1/me`, {
      method: "DELETE",
      headers: { Authorization: `Bearer ${token}` },
      redirect: "error",
      signal: AbortSignal.timeout(10_000),
    });
    if (!response.ok) throw new Error(`the service returned ${response.status}`);
  } catch (error) {
    console.error("An account was not deleted, because its tasks could not be erased:", error);
    throw new APIError("SERVICE_UNAVAILABLE", {
      code: "TASKS_NOT_DELETED",
      message: "The account was kept, because its tasks could not be deleted. Try again later.",
    });
  }
}
