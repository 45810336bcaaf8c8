/** A build loads these files too, and needs no settings; every server that starts does. */
export const building = process.env.NEXT_PHASE === "phase-production-build";

/** One setting. Raises an error, in one line that names it but not its value, if its rule is broken. */
export function variable(
  name: string,
  holds: (value: string) => boolean,
  rule: string,
  fallback = "",
): string {
  const value = process.env[name] || fallback;
  if (building) return value || `https://${crypto.randomUUID()}.invalid`;
  if (!holds(value)) {
    throw new Error(`${name} ${rule}: set it in .env.local or in the environment`);
  }
  return value;
}

// Only the form that browsers send is its own origin: lower case, punycode, no default port.
const isOrigin = (value: string) =>
  /^https?:/.test(value) && URL.canParse(value) && new URL(value).origin === value;
const origin =
  "must be an origin as browsers send it, like http://localhost:3000: in lower case, without a default port, a path or a slash at the end";
// The path is the service's ROOT_PATH, where a proxy strips one.
const isApiUrl = (value: string) =>
  URL.canParse(value) &&
  isOrigin(new URL(value).origin) &&
  new URL(value).href.replace(/\/$/, "") === value &&
  !/[?#]|\/$/.test(value);

/** The settings, checked once, at the start. */
export const env = {
  secret: variable(
    "BETTER_AUTH_SECRET",
    (value) =>
      value.length >= 32 && new Set(value).size > 2 && !value.startsWith("better-auth-secret-"),
    "must be a random secret of at least 32 characters",
  ),
  issuer: variable("BETTER_AUTH_URL", isOrigin, origin),
  audience: variable("JWT_AUDIENCE", (value) => value !== "", "must be the service's own value"),
  apiUrl: variable(
    "NEXT_PUBLIC_API_URL",
    isApiUrl,
    "must be a URL like http://localhost:8000 or https://example.com/tasks, without a slash at the end",
  ),
};
