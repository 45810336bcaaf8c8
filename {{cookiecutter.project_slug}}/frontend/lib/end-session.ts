import type { BetterAuthPlugin } from "better-auth";
import { createAuthEndpoint, sensitiveSessionMiddleware } from "better-auth/api";

/**
 * Adds `POST /end-session`, which ends one of the user's sessions by its `id`. Better Auth's own
 * `/revoke-session` requires the session's token. Whoever has that can use the session, so a page
 * that lists sessions should not contain it.
 */
export const endSession = {
  id: "end-session",
  endpoints: {
    endSession: createAuthEndpoint(
      "/end-session",
      {
        method: "POST",
        use: [sensitiveSessionMiddleware],
        metadata: { $Infer: { body: {} as { id: string } } },
      },
      async ({ body, context, json }) => {
        const { internalAdapter, session } = context;
        const sessions = await internalAdapter.listSessions(session.user.id);
        const ended = sessions.find(({ id }) => id === body?.id);
        if (ended) await internalAdapter.deleteSession(ended.token);
        return json({ success: true }); // Even if it had ended before.
      },
    ),
  },
} satisfies BetterAuthPlugin;
