/** A build loads these files too, but needs no settings. A server needs them when it starts. */
export const building = process.env.NEXT_PHASE === "phase-production-build";

/** Returns a setting. If it breaks its rule, throws a one-line Error with its name, not its value. */
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

// Only the form that browsers send equals its own `origin`: lower case, punycode, no default port.
const isOrigin = (value: string) =>
  /^https?:/.test(value) && URL.canParse(value) && new URL(value).origin === value;
const origin =
  "must be an origin as browsers send it, like http://localhost:3000: in lower case, without a default port, a path or a slash at the end";
// It may have a path: the service's ROOT_PATH, if a proxy strips that prefix.
const isApiUrl = (value: string) =>
  URL.canParse(value) &&
  isOrigin(new URL(value).origin) &&
  new URL(value).href.replace(/\/$/, "") === value &&
  !/[?#]|\/$/.test(value);

/** Returns two settings that must be set together, or undefined if neither is set. */
function pair(...rules: [Parameters<typeof variable>, Parameters<typeof variable>]) {
  if (building || !rules.some(([name]) => process.env[name])) return;
  return rules.map((rule) => variable(...rule)) as [string, string];
}

/** Returns this app's client ID and secret at a provider like Google, or undefined if not set. */
function oauthClient(provider: string) {
  const [id, secret] = [`${provider}_CLIENT_ID`, `${provider}_CLIENT_SECRET`];
  const isSet = (value: string) => value !== "";
  const registration = pair(
    [id, isSet, `must be set together with ${secret}`],
    [secret, isSet, `must be set together with ${id}`],
  );
  return registration && { clientId: registration[0], clientSecret: registration[1] };
}

const isSmtpUrl = (value: string) =>
  /^smtps?:\/\/./.test(value) && URL.canParse(value) && new URL(value).hostname !== "";
// One address, with or without a name before it.
const isSender = (value: string) =>
  /^([^<>@:;\p{C}]+ <[^\s<>@,]+@[^\s<>@,]+>|[^\s<>@,]+@[^\s<>@,]+)$/u.test(value);

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
  /** The SMTP server's URL and the sender, or undefined if this app cannot send email. */
  mail: pair(
    ["SMTP_URL", isSmtpUrl, "must be a URL like smtp://user:[password]@smtp.example.com:587"],
    ["MAIL_FROM", isSender, "must be a sender like Tasks <tasks@example.com>"],
  ),
  google: oauthClient("GOOGLE"),
  github: oauthClient("GITHUB"),
};
