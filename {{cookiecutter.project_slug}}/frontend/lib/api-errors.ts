/** A failed request, with a message for users. */
export class ApiError extends Error {
  constructor(
    message: string,
    /** The HTTP status; 0 if there was no response. */
    readonly status: number,
    readonly retryAfterSeconds?: number,
  ) {
    super(message);
  }

  /** Whether the same request may succeed later. */
  get isRetryable() {
    const { status, retryAfterSeconds } = this;
    return status === 0 || status === 429 || status >= 500 || retryAfterSeconds !== undefined;
  }
}

export const isRetryable = (error: unknown) => error instanceof ApiError && error.isRetryable;

/** Returns the milliseconds before the next attempt: up to 30 s, or longer if `Retry-After` is. */
export function retryDelay(failureCount: number, error: unknown) {
  const seconds = error instanceof ApiError ? error.retryAfterSeconds : undefined;
  return 1000 * Math.max(Math.min(2 ** failureCount, 30), seconds ?? 0);
}

export const connectionError = (server: string) =>
  new ApiError(`${server} cannot be reached. Check your connection and try again.`, 0);

/** Returns the message to show for an error, if there is one. */
export function errorMessage(error: unknown): string | undefined {
  if (error) return error instanceof ApiError ? error.message : "Something went wrong. Try again.";
}

const statusMessages: Record<number, string> = {
  401: "The task service did not accept your sign-in. Sign out, then sign in again. If that does not help, contact this site's administrator.",
  404: "This task no longer exists. It may have been deleted in another window.",
  412: "This task was changed elsewhere.",
  413: "This task is too long. Shorten it and try again.",
  429: "Too many requests. Try again in a moment.",
  503: "The task service is temporarily unavailable. Try again in a moment.",
};

/** Converts an error response of the service (RFC 9457). */
export function toApiError(response: Response, body: unknown): ApiError {
  const { status, headers } = response;
  const { errors, request_id } = (body ?? {}) as {
    errors?: { loc: unknown[]; msg: string }[];
    request_id?: string;
  };
  const retryAfterSeconds = Number(headers.get("Retry-After")) || undefined;
  // An earlier request with the same Idempotency-Key is still being processed.
  const isInProgress = status === 409 && retryAfterSeconds;
  const message =
    statusMessages[isInProgress ? 503 : status] ??
    (status === 422
      ? validationMessage(errors?.[0])
      : `The task service failed (${status}). Try again. If it keeps failing, report ${request_id ?? "this"}.`);
  return new ApiError(message, status, retryAfterSeconds);
}

function validationMessage(error?: { loc: unknown[]; msg: string }) {
  const field = error?.loc.at(-1);
  return field === "title"
    ? "A title must have 1 to 200 characters, all of which can be stored."
    : `The task service rejected this (${field ?? "input"}: ${error?.msg ?? "invalid"}).`;
}

/** Returns the data of a response. Throws an ApiError for error responses and lost responses. */
export async function unwrap<T>(
  request: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<T> {
  const { data, error, response } = await request.catch((reason) => {
    throw reason instanceof ApiError ? reason : connectionError("The task service");
  });
  if (!response.ok) throw toApiError(response, error);
  return data as T;
}
