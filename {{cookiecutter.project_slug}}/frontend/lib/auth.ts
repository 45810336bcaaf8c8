import { type BetterAuthOptions, betterAuth } from "better-auth";
import { nextCookies } from "better-auth/next-js";
import {
  accountEmails,
  sendChangeEmailConfirmation,
  sendResetPassword,
  sendVerificationEmail,
} from "./account-emails";
import { appName, appSlug } from "./app-name";
import { database } from "./database-{{ cookiecutter.database }}";
import { endSession } from "./end-session";
import { env } from "./env";
import { eraseTasksOnRemoval, keepSessions } from "./erase-tasks";
import { tokens } from "./tokens-{{ cookiecutter.token_verification }}";

export const auth = betterAuth({
  appName,
  baseURL: env.issuer,
  secret: env.secret,
  database,
  advanced: {
    // Browsers share cookies between all ports of a host. Other projects have other prefixes.
    cookiePrefix: appSlug,
    // The response does not wait for emails: its time would show whether there is an account.
    backgroundTasks: {
      handler: (task) => void import("next/server").then(({ after }) => after(task)),
    },
  },
  emailAndPassword: {
    enabled: true,
    minPasswordLength: 8,
    revokeSessionsOnPasswordReset: true,
    sendResetPassword,
  },
  // Not required for signing in with a password. Better Auth adds a provider's account to one that
  // exists only if both have confirmed the address. Otherwise somebody could register another
  // person's address in advance, and share the account later.
  emailVerification: { sendOnSignUp: true, sendVerificationEmail },
  socialProviders: { google: env.google, github: env.github },
  // Where a user returns to if the provider's response belongs to no request, or to an old one.
  onAPIError: { errorURL: `${env.issuer}/sign-in` },
  user: {
    changeEmail: { enabled: true, sendChangeEmailConfirmation },
    deleteUser: { enabled: true },
    // A provider's account may have any address that the provider has not confirmed.
    validateUserInfo: ({ user, source }) =>
      source.method === "oauth" && source.action !== "sign-in" && !user.emailVerified
        ? { error: "email_not_verified" }
        : undefined,
  },
  // No session.cookieCache: with it, a session that was ended could still fetch tokens for a while.
  plugins: [
    tokens,
    accountEmails,
    endSession,
    keepSessions,
    nextCookies(), // It must be the last one.
  ],
} satisfies BetterAuthOptions);

eraseTasksOnRemoval(auth);
