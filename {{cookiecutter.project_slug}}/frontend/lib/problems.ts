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

const serviceWords: Record<number, string> = {
  401: "The task service does not accept your sign-in. Sign out and in again; if that does not help, tell whoever runs this site.",
  404: "This task is no longer there. It may have been deleted in another window.",
  412: "This task was changed elsewhere in the meantime.",
  413: "This is too much text for one task. Shorten it and try again.",
  429: "That was a lot in a short time. Try again in a moment.",
  503: "The task service is not ready just now. Try again in a moment.",
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
  if (length === 0) return "Type a title first.";
  if (length > 200) return `A title has at most 200 characters; this one has ${length}.`;
}

/** What is wrong, by the field it belongs to; `form` is about all of it. */
export type Refusal = Partial<Record<"name" | "email" | "password" | "form", string>>;

const authWords: Record<string, Refusal> = {
  INVALID_EMAIL: { email: "This is not an e-mail address." },
  INVALID_EMAIL_OR_PASSWORD: {
    password: "This e-mail address and this password do not belong together. Check both.",
  },
  INVALID_PASSWORD: { password: "This is not your password." },
  PASSWORD_TOO_LONG: { password: "A password has at most 128 characters." },
  PASSWORD_TOO_SHORT: { password: "A password needs at least 8 characters." },
  TASKS_NOT_DELETED: {
    form: "Your tasks could not be deleted just now, so your account was kept.",
  },
  USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL: {
    email: "There is an account with this e-mail address already. Sign in, or use another one.",
  },
  VALIDATION_ERROR: { email: "This is not an e-mail address." },
};

/** What Better Auth objects to, in plain words; nothing if it did as asked. */
export async function refusal(
  call: Promise<{ error: { status: number; code?: string; message?: string } | null }>,
): Promise<Refusal | undefined> {
  try {
    const { error } = await call;
    if (!error) return;
    if (error.status === 401 && !error.code?.startsWith("INVALID"))
      return { form: "You are signed out. Sign in again, then repeat this." };
    if (error.status === 429) return { form: "Too many attempts. Wait ten seconds and try again." };
    return (
      authWords[error.code ?? ""] ?? {
        form: `This did not work (${error.code ?? error.status}). Try again in a moment.`,
      }
    );
  } catch {
    return { form: unreachable("This site").message };
  }
}
