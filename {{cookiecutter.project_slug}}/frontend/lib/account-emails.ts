/** The emails that Better Auth has sent, and what it may conclude from their links. */
import type { BetterAuthPlugin } from "better-auth";
import { createAuthMiddleware } from "better-auth/api";
import { decodeJwt } from "jose";
import { appName } from "./app-name";
import { env } from "./env";
import { checkMail, sendMail } from "./mail";

interface Link {
  user: { email: string };
  url: string;
  token: string;
}

// No email contains a user's name: anybody could have any text sent to any address with it.
const site = `${appName} (${env.issuer})`;
const ending = (otherwise: string) =>
  `The link works for one hour.\n\nIf it was not you, ignore this email: ${otherwise}`;

/** Returns the link with the page that shows its result. */
function leadingTo(page: string, url: string): string {
  const link = new URL(url);
  link.searchParams.set("callbackURL", page);
  return link.href;
}

export const sendResetPassword = ({ user, url }: Link) =>
  sendMail(
    user.email,
    `Reset your password for ${appName}`,
    `Somebody asked to reset the password of your account at ${site}. To choose a new password, open this link:\n\n${url}\n\n${ending("your password stays as it is.")}`,
  );

/** Asks the old address before the new one gets a link: somebody else may use the account. */
export const sendChangeEmailConfirmation = ({ user, newEmail, url }: Link & { newEmail: string }) =>
  sendMail(
    user.email,
    `Approve your new email address for ${appName}`,
    `Somebody asked to change the email address of your account at ${site} to ${newEmail}. To approve it, open this link:\n\n${leadingTo("/verify-email?step=approved", url)}\n\nWe then send another link to the new address. ${ending("your address stays as it is. Change your password if you did not share it.")}`,
  );

/** Sends the link that proves an address: that of an account, or the one it is to be changed to. */
export const sendVerificationEmail = ({ user, url, token }: Link) =>
  decodeJwt(token).updateTo
    ? sendMail(
        user.email,
        `Confirm your new email address for ${appName}`,
        `Somebody wants to use this email address for an account at ${site}. To confirm it, open this link:\n\n${leadingTo("/verify-email?step=changed", url)}\n\n${ending("the address is not used.")}`,
      )
    : sendMail(
        user.email,
        `Confirm your email address for ${appName}`,
        `Somebody created an account with this email address at ${site}. To confirm that the address is yours, open this link:\n\n${leadingTo("/verify-email?step=verified", url)}\n\n${ending("the address stays unconfirmed.")}`,
      );

// Whether these endpoints send an email depends on whether an account has the address. They must
// not depend on it if no email can be sent.
const SENDING = ["/change-email", "/request-password-reset", "/send-verification-email"];

export const accountEmails = {
  id: "account-emails",
  hooks: {
    before: [
      {
        matcher: ({ path }) => SENDING.includes(path ?? ""),
        handler: createAuthMiddleware(checkMail),
      },
    ],
  },
  init: (context) => ({
    options: {
      emailAndPassword: {
        enabled: true,
        // Whoever opened the link reads what is sent to the address.
        onPasswordReset: async ({ user }) => {
          await context.internalAdapter.updateUser(user.id, { emailVerified: true });
        },
      },
      databaseHooks: {
        user: {
          update: {
            before: async (changes, request) => {
              if (request?.path !== "/verify-email" || !changes.email) return;
              // Another account may have got the address since the link was sent.
              if (await context.internalAdapter.findUserByEmail(changes.email)) {
                throw request.redirect("/verify-email?error=EMAIL_TAKEN");
              }
              // The link confirms the new address, even if the earlier one was not confirmed.
              return { data: { ...changes, emailVerified: true } };
            },
          },
        },
      },
    },
  }),
} satisfies BetterAuthPlugin;
