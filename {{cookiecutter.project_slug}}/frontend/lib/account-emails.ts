/** The emails that Better Auth sends about accounts, and the rules for their links. */
import type { AuthContext, BetterAuthPlugin } from "better-auth";
import { APIError, createAuthMiddleware, getSessionFromCtx } from "better-auth/api";
import { decodeJwt } from "jose";
import { appName } from "./app-name";
import { env } from "./env";
import { checkMail, sendMail } from "./mail";

interface Link {
  user: { email: string };
  url: string;
  token: string;
}

// Emails do not contain the user's name: otherwise anybody could send any text to any address.
const site = `${appName} (${env.issuer})`;
const footer = (consequence: string) =>
  `The link expires in one hour.\n\nIf this was not you, ignore this email: ${consequence}`;

/** Makes a link redirect to the page that shows its result. */
function withRedirect(page: string, url: string): string {
  const link = new URL(url);
  link.searchParams.set("callbackURL", page);
  return link.href;
}

export const sendResetPassword = ({ user, url }: Link) =>
  sendMail(
    user.email,
    `Reset your password for ${appName}`,
    `Someone asked to reset the password of your account at ${site}. To choose a new password, open this link:\n\n${url}\n\n${footer("your password will not change.")}`,
  );

/** Asks the old address for approval first, because somebody else may be using the account. */
export const sendChangeEmailConfirmation = ({ user, newEmail, url }: Link & { newEmail: string }) =>
  sendMail(
    user.email,
    `Approve your new email address for ${appName}`,
    `Someone asked to change the email address of your account at ${site} to ${newEmail}. To approve it, open this link:\n\n${withRedirect("/verify-email?step=approved", url)}\n\nWe then send another link to the new address. ${footer("your address will not change. If you did not share your password, change it.")}`,
  );

/** Sends a link that confirms the address of an account, or the new one that the user wants. */
export const sendVerificationEmail = ({ user, url, token }: Link) =>
  decodeJwt(token).updateTo
    ? sendMail(
        user.email,
        `Confirm your new email address for ${appName}`,
        `Someone wants to use this email address for an account at ${site}. To confirm it, open this link:\n\n${withRedirect("/verify-email?step=changed", url)}\n\n${footer("the address will not be used.")}`,
      )
    : sendMail(
        user.email,
        `Confirm your email address for ${appName}`,
        `Someone created an account with this email address at ${site}. If that was you, open this link to confirm the address:\n\n${withRedirect("/verify-email?step=verified", url)}\n\n${footer("whoever created the account knows its password.")}`,
      );

// These endpoints send an email only if an account has the address. Check the mail server first, for
// every address, so that an error does not reveal whether there is one.
const EMAIL_PATHS = ["/change-email", "/request-password-reset", "/send-verification-email"];

/** Invalidates the password reset links that a user has been sent. */
const deleteResetLinks = ({ adapter }: AuthContext, userId: string) =>
  adapter.deleteMany({
    model: "verification",
    where: [
      { field: "value", value: userId },
      { field: "identifier", operator: "starts_with", value: "reset-password:" },
    ],
  });

/** Returns whether the user has set a new password since this link was sent. */
async function hasNewPassword({ internalAdapter }: AuthContext, token: string): Promise<boolean> {
  const { iat = 0, userId } = decodeJwt<{ userId: string }>(token);
  const user = await internalAdapter.findUserById(userId);
  const accounts = await internalAdapter.findAccounts(userId);
  // `iat` is in whole seconds, so the password set at sign-up could seem newer than the token.
  const since = Math.max(iat * 1000, (user?.createdAt.getTime() ?? 0) + 1000);
  return accounts.some(({ password, updatedAt }) => password && updatedAt.getTime() >= since);
}

export const accountEmails = {
  id: "account-emails",
  hooks: {
    before: [
      {
        // Better Auth waits for this email, so the duration would reveal whether there is an account.
        matcher: ({ path }) => path === "/send-verification-email",
        handler: createAuthMiddleware(async (request) => {
          if (!(await getSessionFromCtx(request))) throw new APIError("UNAUTHORIZED");
        }),
      },
      {
        matcher: ({ path }) => EMAIL_PATHS.includes(path ?? ""),
        handler: createAuthMiddleware(checkMail),
      },
    ],
    after: [
      {
        matcher: ({ path }) => path === "/change-password",
        handler: createAuthMiddleware(async ({ context }) => {
          if (context.session) await deleteResetLinks(context, context.session.user.id);
        }),
      },
    ],
  },
  init: (context) => ({
    options: {
      emailAndPassword: {
        enabled: true,
        // Opening the link proves that the user receives email at this address.
        onPasswordReset: async ({ user }) => {
          await context.internalAdapter.updateUser(user.id, { emailVerified: true });
          await deleteResetLinks(context, user.id);
        },
      },
      databaseHooks: {
        user: {
          update: {
            before: async (changes, request) => {
              if (request?.path !== "/verify-email" || !changes.email) return;
              // An attacker may have requested this change before the owner reset the password.
              if (await hasNewPassword(context, request.query?.token)) {
                throw request.redirect("/verify-email?error=INVALID_TOKEN");
              }
              // Another account may have taken the address since the link was sent.
              if (await context.internalAdapter.findUserByEmail(changes.email)) {
                throw request.redirect("/verify-email?error=EMAIL_TAKEN");
              }
              // The link confirms the new address, even if the old one was not confirmed.
              return { data: { ...changes, emailVerified: true } };
            },
            after: async ({ id }, request) => {
              if (request?.path === "/verify-email") await deleteResetLinks(context, id);
            },
          },
        },
      },
    },
  }),
} satisfies BetterAuthPlugin;
