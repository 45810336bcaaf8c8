import { type NextRequest, NextResponse } from "next/server";

const dev = process.env.NODE_ENV === "development";
// Without the service's path prefix: in a policy, that path would match only this one exact URL.
const api = new URL(process.env.NEXT_PUBLIC_API_URL ?? "").origin;

/** A Content-Security-Policy with a fresh nonce for each page: Next puts it on its own scripts. */
export function proxy(request: NextRequest) {
  const nonce = btoa(crypto.randomUUID());
  const policy = [
    "default-src 'self'",
    // Development only: React's error overlay evaluates code, and hot reloading adds styles.
    `script-src 'self' 'nonce-${nonce}' 'strict-dynamic'${dev ? " 'unsafe-eval'" : ""}`,
    `style-src 'self' ${dev ? "'unsafe-inline'" : `'nonce-${nonce}'`}`,
    `connect-src 'self' ${api}`,
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join("; ");

  const headers = new Headers(request.headers);
  headers.set("Content-Security-Policy", policy);
  headers.set("x-nonce", nonce); // For the inline script of the layout.
  const response = NextResponse.next({ request: { headers } });
  response.headers.set("Content-Security-Policy", policy);
  return response;
}

export const config = { matcher: "/((?!api/|_next/static|icon.svg).*)" };
