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
    // Browsers share cookies between all ports of a host, so each project has its own prefix.
    cookiePrefix: appSlug,
    // Responses do not wait for emails, because the delay would reveal whether an account exists.
    // In a script, after() throws, because there is no response; the email is sent anyway.
    backgroundTasks: {
      handler: (task) =>
        void import("next/server").then(({ after }) => after(task)).catch(() => {}),
    },
  },
  emailAndPassword: {
    enabled: true,
    minPasswordLength: 8,
    revokeSessionsOnPasswordReset: true,
    sendResetPassword,
  },
  // Not required for signing in with a password. Better Auth links a provider's account to an
  // existing one only if both have confirmed the address. Otherwise, somebody could register another
  // person's address in advance, and share the account later.
  emailVerification: { sendOnSignUp: true, sendVerificationEmail },
  socialProviders: { google: env.google, github: env.github },
  // Where users are redirected if a provider's response matches no request or an expired one.
  onAPIError: { errorURL: `${env.issuer}/sign-in` },
  user: {
    changeEmail: { enabled: true, sendChangeEmailConfirmation },
    deleteUser: { enabled: true },
    // An address that the provider has not confirmed may belong to somebody else.
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
