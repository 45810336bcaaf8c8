const HEAD_START = 250; // Milliseconds that a host has before the next one is tried as well.

/**
 * Tries hosts in order until one succeeds, as in RFC 8305. If a host fails, the next one is tried at
 * once; if it does not respond, after a head start. Returns the result of the first success, and
 * aborts the other attempts. Throws an AggregateError if all fail.
 *
 * No more hosts are tried after an error that `isFinal`.
 */
export async function race<Host, Result>(
  hosts: Host[],
  attempt: (host: Host, signal: AbortSignal) => Promise<Result>,
  isFinal: (error: unknown) => boolean,
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
            if (isFinal(error)) waiting.length = 0;
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
