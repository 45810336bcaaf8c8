/** Whether this is a build, which loads these files but needs no settings. */
export const isBuild = process.env.NEXT_PHASE === "phase-production-build";

/** Returns a setting. If it is invalid, throws a one-line Error with its name and the requirement. */
export function readVariable(
  name: string,
  isValid: (value: string) => boolean,
  requirement: string,
  fallback = "",
): string {
  const value = process.env[name] || fallback;
  if (isBuild) return value || `https://${crypto.randomUUID()}.invalid`;
  if (!isValid(value)) {
    throw new Error(`${name} ${requirement}: set it in .env.local or in the environment`);
  }
  return value;
}

// `origin` has the form that browsers send: lower case, punycode, no default port.
const isOrigin = (value: string) =>
  /^https?:/.test(value) && URL.canParse(value) && new URL(value).origin === value;
const originRequirement =
  "must be an origin as browsers send it, like http://localhost:3000: in lower case, without default port, path or trailing slash";
// May have a path: the service's ROOT_PATH, if a proxy strips that prefix.
const isApiUrl = (value: string) =>
  URL.canParse(value) &&
  isOrigin(new URL(value).origin) &&
  new URL(value).href.replace(/\/$/, "") === value &&
  !/[?#]|\/$/.test(value);

/** Returns two settings that must be set together, or undefined if neither is set. */
function readPair(...settings: [Parameters<typeof readVariable>, Parameters<typeof readVariable>]) {
  if (isBuild || !settings.some(([name]) => process.env[name])) return;
  return settings.map((setting) => readVariable(...setting)) as [string, string];
}

/** Returns the client ID and secret of a provider such as Google, or undefined if not set. */
function oauthClient(provider: string) {
  const [id, secret] = [`${provider}_CLIENT_ID`, `${provider}_CLIENT_SECRET`];
  const isSet = (value: string) => value !== "";
  const credentials = readPair(
    [id, isSet, `must be set together with ${secret}`],
    [secret, isSet, `must be set together with ${id}`],
  );
  return credentials && { clientId: credentials[0], clientSecret: credentials[1] };
}

const isSmtpUrl = (value: string) =>
  /^smtps?:\/\/./.test(value) && URL.canParse(value) && new URL(value).hostname !== "";
// One address, optionally with a name.
const isSender = (value: string) =>
  /^([^<>@:;\p{C}]+ <[^\s<>@,]+@[^\s<>@,]+>|[^\s<>@,]+@[^\s<>@,]+)$/u.test(value);

/** The settings, checked when the server starts. */
export const env = {
  secret: readVariable(
    "BETTER_AUTH_SECRET",
    (value) =>
      value.length >= 32 && new Set(value).size > 2 && !value.startsWith("better-auth-secret-"),
    "must be a random secret of at least 32 characters",
  ),
  issuer: readVariable("BETTER_AUTH_URL", isOrigin, originRequirement),
  audience: readVariable(
    "JWT_AUDIENCE",
    (value) => value !== "",
    "must be the same as in the service's .env",
  ),
  apiUrl: readVariable(
    "NEXT_PUBLIC_API_URL",
    isApiUrl,
    "must be a URL like http://localhost:8000 or https://example.com/tasks, without a trailing slash",
  ),
  /** The SMTP server's URL and the sender, or undefined if this app cannot send email. */
  mail: readPair(
    ["SMTP_URL", isSmtpUrl, "must be a URL like smtp://user:[password]@smtp.example.com:587"],
    ["MAIL_FROM", isSender, "must be a sender like Tasks <tasks@example.com>"],
  ),
  google: oauthClient("GOOGLE"),
  github: oauthClient("GITHUB"),
};
