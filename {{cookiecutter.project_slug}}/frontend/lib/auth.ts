import { type BetterAuthOptions, betterAuth } from "better-auth";
import { nextCookies } from "better-auth/next-js";
import { database } from "./database-{{ cookiecutter.database }}";
import { env } from "./env";
import { eraseTasksOnRemoval, keepSessions } from "./erase-tasks";
import { tokens } from "./tokens-{{ cookiecutter.token_verification }}";

export const auth = betterAuth({
  baseURL: env.issuer,
  secret: env.secret,
  database,
  emailAndPassword: { enabled: true, minPasswordLength: 8 },
  user: {
    deleteUser: { enabled: true },
  },
  // No session.cookieCache: with it, a session that was ended could still fetch tokens for a while.
  plugins: [
    tokens,
    keepSessions,
    nextCookies(), // It must be the last one.
  ],
} satisfies BetterAuthOptions);

eraseTasksOnRemoval(auth);
