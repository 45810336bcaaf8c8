import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { UnsecuredJWT } from "jose";

export interface RecordedRequest {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface FakeResponse {
  status?: number;
  headers?: Record<string, string>;
  body?: unknown;
}

/** Returns a promise and the function that fulfills it, as Promise.withResolvers() in Node 22. */
export function deferred() {
  let resolve = () => {};
  const promise = new Promise<void>((fulfill) => {
    resolve = fulfill;
  });
  return { promise, resolve };
}

/**
 * An HTTP server on loopback in place of Better Auth's token endpoint and the service.
 *
 * It records all requests. Tests set its responses; "lost" closes the connection without one.
 */
export class FakeBackend {
  readonly tokenRequests: RecordedRequest[] = [];
  readonly requests: RecordedRequest[] = [];
  onToken: (number: number) => FakeResponse | Promise<FakeResponse> = (number) =>
    tokenResponse(number);
  onRequest: (
    request: RecordedRequest,
    number: number,
  ) => FakeResponse | "lost" | Promise<FakeResponse> = () => ({
    body: { items: [], next_cursor: null },
  });

  private readonly server = createServer(async (request, response) => {
    const recorded = {
      method: request.method ?? "",
      path: request.url ?? "",
      headers: request.headers,
      body: await text(request),
    };
    const isToken = recorded.path === "/api/auth/token";
    const requests = isToken ? this.tokenRequests : this.requests;
    requests.push(recorded);
    const reply = await (isToken
      ? this.onToken(requests.length)
      : this.onRequest(recorded, requests.length));
    if (reply === "lost") return void request.socket.destroy();
    const { status = 200, headers, body } = reply;
    response.writeHead(status, { "Content-Type": "application/json", ...headers });
    response.end(body === undefined ? "" : JSON.stringify(body));
  });

  async start(): Promise<string> {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  /** The tokens of all requests to the service, in order. */
  get tokensSent() {
    return this.requests.map(({ headers }) => headers.authorization?.replace("Bearer ", ""));
  }
}

/** Returns an unsigned token, different for each number. Only the service checks signatures. */
export function createToken(number: number, subject = "ann", lifetime = 300): string {
  // The issuer's clock may differ from the browser's: only `exp` minus `iat` counts.
  const iat = 1_000_000_000;
  return new UnsecuredJWT({ number })
    .setSubject(subject)
    .setIssuedAt(iat)
    .setExpirationTime(iat + lifetime)
    .encode();
}

export const tokenResponse = (
  number: number,
  subject?: string,
  lifetime?: number,
): FakeResponse => ({
  body: { token: createToken(number, subject, lifetime) },
});

/** An error response of the service (RFC 9457). */
export const errorResponse = (status: number, headers?: Record<string, string>): FakeResponse => ({
  status,
  headers: { "Content-Type": "application/problem+json", ...headers },
  body: { type: "about:blank", title: "Error", status, detail: "…", request_id: "r-1" },
});
