import { type NextRequest, NextResponse } from "next/server";

const dev = process.env.NODE_ENV === "development";
// Without the service's path prefix: in a policy, a path without a trailing slash matches only itself.
const api = new URL(process.env.NEXT_PUBLIC_API_URL ?? "").origin;

/** Sets a Content-Security-Policy with a new nonce per request. Next adds it to its own scripts. */
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
  headers.set("x-nonce", nonce); // For the inline script in the layout.
  const response = NextResponse.next({ request: { headers } });
  response.headers.set("Content-Security-Policy", policy);
  return response;
}

export const config = { matcher: "/((?!api/|_next/static|icon.svg).*)" };
