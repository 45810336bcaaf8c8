/** The messages that users see when signing in, signing up or changing an account fails. */
import { connectionError } from "./api-errors";

/** Messages by field; `form` is for those that concern the whole form. */
export type FormErrors = Partial<
  Record<"name" | "email" | "currentPassword" | "password" | "form", string>
>;

const requiredMessages = {
  name: "Enter your name.",
  email: "Enter your email address.",
  currentPassword: "Enter your current password.",
  password: "Enter a password.",
};

type RequiredField = keyof typeof requiredMessages;

/** Returns a message for each value that is missing, or undefined if there are none. */
export function validateRequired(
  values: Partial<Record<RequiredField, string>>,
): FormErrors | undefined {
  const missing = (Object.keys(values) as RequiredField[]).filter((field) =>
    field === "email" ? !values.email?.includes("@") : !values[field]?.trim(),
  );
  if (missing.length) {
    return Object.fromEntries(missing.map((field) => [field, requiredMessages[field]]));
  }
}

const signedOutMessage = "You are signed out. Sign in again, then retry.";
const staleSessionMessage =
  "To confirm that it is you, sign out and sign in again, then retry within a day.";

// By Better Auth's error codes. Only the one for signing up reveals that an account has an address.
const authMessages: Record<string, FormErrors> = {
  EMAIL_ALREADY_VERIFIED: { form: "This address is already confirmed. Reload the page." },
  EMAIL_MISMATCH: { form: "Your email address was changed elsewhere. Reload the page." },
  EMAIL_NOT_SENT: { form: "The email could not be sent. Try again in a few minutes." },
  EMAIL_NOT_VERIFIED: {
    form: "Confirm your email address first: open the link that we sent to it.",
  },
  INVALID_EMAIL: { email: "Enter a valid email address." },
  INVALID_EMAIL_OR_PASSWORD: { password: "Incorrect email or password." },
  INVALID_PASSWORD: { currentPassword: "Incorrect password." },
  INVALID_TOKEN: { form: "This link has expired or has already been used." },
  PASSWORD_TOO_LONG: { password: "Use at most 128 characters." },
  PASSWORD_TOO_SHORT: { password: "Use at least 8 characters." },
  SESSION_EXPIRED: { form: staleSessionMessage },
  SESSION_NOT_FRESH: { form: staleSessionMessage },
  TASKS_NOT_DELETED: {
    form: "Your tasks could not be deleted, so your account was kept. Try again later.",
  },
  USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL: {
    email: "You cannot sign up with this address. If it is yours, sign in or reset your password.",
  },
  VALIDATION_ERROR: { email: "Enter a valid email address." },
};

/** Returns the messages for a failed request to Better Auth, or undefined if it succeeded. */
export async function authErrors(
  request: Promise<{ error: { status: number; code?: string; message?: string } | null }>,
): Promise<FormErrors | undefined> {
  try {
    const { error } = await request;
    if (!error) return;
    const { status, code = "" } = error;
    if (Object.hasOwn(authMessages, code)) return authMessages[code];
    if (code.endsWith("ORIGIN")) return { form: wrongOriginMessage() };
    if (status === 401) return { form: signedOutMessage };
    if (status === 429) return { form: "Too many attempts. Wait a minute and try again." };
    return { form: `Something went wrong (${code || status}). Try again in a moment.` };
  } catch {
    return { form: connectionError("This site").message };
  }
}

const wrongOriginMessage = () =>
  `This site does not accept requests from ${location.origin}. Use its own address.`;

// The same for both, so that it does not reveal whether an account has the address.
const unconfirmedMessage =
  "Your email address must be confirmed first, both there and here. If you already have an account here, resetting its password confirms the address.";

// By the `error` parameter of the URL to which Better Auth redirects.
const providerMessages: Record<string, string> = {
  access_denied: "Sign-in was canceled.",
  account_not_linked: unconfirmedMessage,
  email_not_found:
    "That site did not share your email address. Add one there, or sign up with a password.",
  email_not_verified: unconfirmedMessage,
  state_mismatch: "Sign-in took too long or was started in another browser. Try again.",
};

const linkMessages: Record<string, string> = {
  EMAIL_TAKEN: "Another account now uses this address, so yours was not changed.",
  INVALID_USER: "This link belongs to another account. Sign out, then open it again.",
  TOKEN_EXPIRED: "This link has expired. Request a new one.",
};

/** Returns why signing in with a provider failed. `code` may be any text: it comes from the URL. */
export const providerErrorMessage = (code: string) =>
  (Object.hasOwn(providerMessages, code) && providerMessages[code]) ||
  "Sign-in with Google or GitHub failed. Try again in a moment.";

/** Returns why a link in an email failed. `code` may be any text: it comes from the URL. */
export const linkErrorMessage = (code: string) =>
  (Object.hasOwn(linkMessages, code) && linkMessages[code]) ||
  "This link is invalid or has already been used.";
