/** An error whose message is written for users. */
export class Problem extends Error {
  constructor(
    message: string,
    /** The HTTP status; 0 if there was no response. */
    readonly status: number,
    readonly retryAfterSeconds?: number,
  ) {
    super(message);
  }

  /** The request itself is fine: the same one may succeed in a moment. */
  get isPassing() {
    const { status, retryAfterSeconds } = this;
    return status === 0 || status === 429 || status >= 500 || retryAfterSeconds !== undefined;
  }
}

export const isPassing = (error: unknown) => error instanceof Problem && error.isPassing;

/** How long to wait before the next attempt: up to 30 s, unless the service asks for more. */
export function retryDelay(failures: number, error: unknown) {
  const seconds = error instanceof Problem ? error.retryAfterSeconds : undefined;
  return 1000 * Math.max(Math.min(2 ** failures, 30), seconds ?? 0);
}

export const unreachable = (what: string) =>
  new Problem(`${what} cannot be reached. Check your connection and try again.`, 0);

export const inWords = (error: unknown) =>
  error instanceof Problem ? error.message : "Something unexpected went wrong. Try again.";

/** Returns the words for a code, which may come from a URL. */
const wordsFor = (words: Record<string, string>, code: string, otherwise: string) =>
  (Object.hasOwn(words, code) && words[code]) || otherwise;

const serviceWords: Record<number, string> = {
  401: "The task service does not accept your sign-in. Sign out and in again; if that does not help, tell whoever runs this site.",
  404: "This task is no longer there. It may have been deleted in another window.",
  412: "This task was changed elsewhere in the meantime.",
  413: "This is too much text for one task. Shorten it and try again.",
  429: "Too many requests. Try again in a moment.",
  503: "The task service is temporarily unavailable. Try again in a moment.",
};

/** Returns the service's error response (RFC 9457) in words for users. */
export function serviceProblem(response: Response, body: unknown): Problem {
  const { errors, request_id } = (body ?? {}) as {
    errors?: { loc: unknown[]; msg: string }[];
    request_id?: string;
  };
  const field = errors?.[0]?.loc.at(-1);
  const retryAfterSeconds = Number(response.headers.get("Retry-After")) || undefined;
  const isUnderWay = response.status === 409 && retryAfterSeconds;
  const words =
    serviceWords[isUnderWay ? 503 : response.status] ??
    (response.status === 422
      ? field === "title"
        ? titleRule
        : `The service cannot take this (${field ?? "input"}: ${errors?.[0]?.msg ?? "invalid"}).`
      : `The task service failed (${response.status}). Try again; if it stays so, report ${request_id ?? "this"}.`);
  return new Problem(words, response.status, retryAfterSeconds);
}

/** Returns the response's data. Throws a Problem, in plain words, for errors and lost responses. */
export async function answer<T>(
  call: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<T> {
  const { data, error, response } = await call.catch((reason) => {
    throw reason instanceof Problem ? reason : unreachable("The task service");
  });
  if (!response.ok) throw serviceProblem(response, error);
  return data as T;
}

const titleRule = "A title needs at least one and at most 200 characters that can be stored.";

/** Returns what is wrong with a title, without asking the service. */
export function titleProblem(title: string): string | undefined {
  // Code points, as the service counts them: an emoji is one.
  const length = [...title.trim()].length;
  if (length === 0) return "Enter a title.";
  if (length > 200) return `A title has at most 200 characters; this one has ${length}.`;
}

/** Errors by field; `form` is for those that concern the whole form. */
export type Refusal = Partial<Record<"name" | "email" | "current" | "password" | "form", string>>;

const requests = {
  name: "Enter your name.",
  email: "Enter your email address.",
  current: "Enter your current password.",
  password: "Enter a password.",
};

/** Returns an error for each missing value, without a request to Better Auth. */
export function missing(typed: { [Name in keyof typeof requests]?: string }): Refusal | undefined {
  const names = Object.keys(typed) as (keyof typeof requests)[];
  const wrong = names.filter((name) =>
    name === "email" ? !typed.email?.includes("@") : !typed[name]?.trim(),
  );
  if (wrong.length) return Object.fromEntries(wrong.map((name) => [name, requests[name]]));
}

const signInAgain = "You are signed out. Sign in again, then retry.";
const freshSession =
  "To confirm that it is you, sign out and sign in again, then retry within a day.";

// By Better Auth's error codes. Only the one for signing up reveals that an account has an address.
const authWords: Record<string, Refusal> = {
  EMAIL_ALREADY_VERIFIED: { form: "This address is already confirmed. Reload the page." },
  EMAIL_MISMATCH: { form: "Your email address was changed elsewhere. Reload the page." },
  EMAIL_NOT_SENT: { form: "The email could not be sent. Try again in a few minutes." },
  EMAIL_NOT_VERIFIED: {
    form: "Confirm your email address first: open the link that we sent to it.",
  },
  INVALID_EMAIL: { email: "Enter a valid email address." },
  INVALID_EMAIL_OR_PASSWORD: { password: "Incorrect email or password." },
  INVALID_PASSWORD: { current: "Incorrect password." },
  INVALID_TOKEN: { form: "This link has expired or has already been used." },
  PASSWORD_TOO_LONG: { password: "Use at most 128 characters." },
  PASSWORD_TOO_SHORT: { password: "Use at least 8 characters." },
  SESSION_EXPIRED: { form: freshSession },
  SESSION_NOT_FRESH: { form: freshSession },
  TASKS_NOT_DELETED: {
    form: "Your tasks could not be deleted, so your account was kept. Try again later.",
  },
  USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL: {
    email: "You cannot sign up with this address. If it is yours, sign in or reset your password.",
  },
  VALIDATION_ERROR: { email: "Enter a valid email address." },
};

/** Returns Better Auth's error in words for users, or undefined if the request succeeded. */
export async function refusal(
  call: Promise<{ error: { status: number; code?: string; message?: string } | null }>,
): Promise<Refusal | undefined> {
  try {
    const { error } = await call;
    if (!error) return;
    const { status, code = "" } = error;
    if (Object.hasOwn(authWords, code)) return authWords[code];
    if (code.endsWith("ORIGIN")) return { form: wrongAddress() };
    if (status === 401) return { form: signInAgain };
    if (status === 429) return { form: "Too many attempts. Wait a minute and try again." };
    return { form: `Something went wrong (${code || status}). Try again in a moment.` };
  } catch {
    return { form: unreachable("This site").message };
  }
}

const wrongAddress = () =>
  `This site does not accept requests from ${location.origin}. Use its own address.`;

// The same for both, so that it does not reveal whether an account has the address.
const unconfirmed =
  "Your email address must be confirmed first, both there and here. If you already have an account here, resetting its password confirms the address.";

// By the `error` parameter of the URL to which Better Auth redirects.
const providerWords: Record<string, string> = {
  access_denied: "Sign-in was canceled.",
  account_not_linked: unconfirmed,
  email_not_found:
    "That site did not share your email address. Add one there, or sign up with a password.",
  email_not_verified: unconfirmed,
  state_mismatch: "Sign-in took too long or was started in another browser. Try again.",
};

/** Returns why signing in at another site failed. */
export const providerProblem = (error: string) =>
  wordsFor(providerWords, error, "Sign-in with Google or GitHub failed. Try again in a moment.");

const linkWords: Record<string, string> = {
  EMAIL_TAKEN: "Another account now uses this address, so yours was not changed.",
  INVALID_USER: "This link belongs to another account. Sign out, then open it again.",
  TOKEN_EXPIRED: "This link has expired. Request a new one.",
};

/** Returns why a link about an email address cannot be used. */
export const linkProblem = (error: string) =>
  wordsFor(linkWords, error, "This link is invalid or has already been used.");
