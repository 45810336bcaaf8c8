const HEAD_START = 250; // Milliseconds until the next host is tried as well.

/**
 * Tries hosts in order until one succeeds (RFC 8305). The next host is tried as soon as one fails, or
 * after a head start if it does not respond. Returns the first success and aborts the other attempts.
 * Throws an AggregateError if all fail. After an error that `isPermanent`, no other host is tried.
 */
export async function race<Host, Result>(
  hosts: Host[],
  attempt: (host: Host, signal: AbortSignal) => Promise<Result>,
  isPermanent: (error: unknown) => boolean,
): Promise<Result> {
  const waiting = [...hosts];
  const losers = new AbortController();
  const errors: unknown[] = [];
  let running = 0;
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<Result>((resolve, reject) => {
      const next = () => {
        clearTimeout(timer);
        const host = waiting.shift();
        if (host !== undefined) {
          running += 1;
          timer = setTimeout(next, HEAD_START);
          attempt(host, losers.signal).then(resolve, (error) => {
            errors.push(error);
            running -= 1;
            if (isPermanent(error)) waiting.length = 0;
            next();
          });
        } else if (running === 0) reject(new AggregateError(errors));
      };
      next();
    });
  } finally {
    clearTimeout(timer);
    waiting.length = 0;
    losers.abort();
  }
}
