import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { UnsecuredJWT } from "jose";

export interface Received {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface Reply {
  status?: number;
  headers?: Record<string, string>;
  body?: unknown;
}

/** A promise, and the function that fulfills it. */
export function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/**
 * An HTTP server on loopback that replaces Better Auth's token endpoint and the service.
 *
 * It records all requests. Tests set its replies; for "lost", it closes the connection instead.
 */
export class Backend {
  readonly tokenRequests: Received[] = [];
  readonly calls: Received[] = [];
  onToken: (number: number) => Reply | Promise<Reply> = (number) => tokenReply(number);
  onCall: (received: Received, number: number) => Reply | "lost" | Promise<Reply> = () => ({
    body: { items: [], next_cursor: null },
  });

  private readonly server = createServer(async (request, response) => {
    const received = {
      method: request.method ?? "",
      path: request.url ?? "",
      headers: request.headers,
      body: await text(request),
    };
    const isToken = received.path === "/api/auth/token";
    const list = isToken ? this.tokenRequests : this.calls;
    list.push(received);
    const reply = await (isToken ? this.onToken(list.length) : this.onCall(received, list.length));
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

  /** The tokens of all calls to the service, in order. */
  get tokensSent() {
    return this.calls.map(({ headers }) => headers.authorization?.replace("Bearer ", ""));
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

export const tokenReply = (number: number, subject?: string, lifetime?: number): Reply => ({
  body: { token: createToken(number, subject, lifetime) },
});

/** An error response of the service (RFC 9457). */
export const problemReply = (status: number, headers?: Record<string, string>): Reply => ({
  status,
  headers: { "Content-Type": "application/problem+json", ...headers },
  body: { type: "about:blank", title: "Error", status, detail: "…", request_id: "r-1" },
});
