/** The settings: valid values, and the messages for invalid ones. */
import { expect, test, vi } from "vitest";

const GOOD = {
  BETTER_AUTH_SECRET: "a secret that is only for these tests",
  BETTER_AUTH_URL: "http://localhost:3000",
  JWT_AUDIENCE: "http://localhost:8000",
  NEXT_PUBLIC_API_URL: "http://localhost:8000",
};

const MAIL = {
  SMTP_URL: "smtps://user@smtp.example.com:465",
  MAIL_FROM: "Tasks <tasks@example.com>",
};
// Variables of this machine must have no effect.
const UNSET = ["GOOGLE", "GITHUB"].flatMap((name) => [
  `${name}_CLIENT_ID`,
  `${name}_CLIENT_SECRET`,
]);

async function load(settings: Record<string, string>) {
  for (const name of [...UNSET, ...Object.keys(MAIL)]) vi.stubEnv(name, "");
  for (const [name, value] of Object.entries({ ...GOOD, ...settings })) vi.stubEnv(name, value);
  vi.resetModules();
  return (await import("@/lib/env")).env;
}

test("complete settings are valid", async () => {
  expect(await load({})).toMatchObject({
    secret: GOOD.BETTER_AUTH_SECRET,
    issuer: GOOD.BETTER_AUTH_URL,
    audience: GOOD.JWT_AUDIENCE,
    apiUrl: GOOD.NEXT_PUBLIC_API_URL,
  });
});

test.each(Object.keys(GOOD))("%s is required", async (name) => {
  await expect(load({ [name]: "" })).rejects.toThrow(new RegExp(`^${name} must .*\\.env\\.local`));
});

test.each([
  ["BETTER_AUTH_SECRET", "a secret with just 31 character"],
  ["BETTER_AUTH_SECRET", "ab".repeat(20)],
  ["BETTER_AUTH_SECRET", "better-auth-secret-12345678901234567890"],
  ["BETTER_AUTH_URL", "http://localhost:3000/"],
  ["BETTER_AUTH_URL", "http://localhost:3000/app"],
  ["BETTER_AUTH_URL", "https://Example.com"],
  ["BETTER_AUTH_URL", "https://example.com:443"],
  ["BETTER_AUTH_URL", "https://user@example.com"],
  ["BETTER_AUTH_URL", "example.com"],
  ["BETTER_AUTH_URL", "ftp://example.com"],
  ["NEXT_PUBLIC_API_URL", "http://localhost:8000/"],
  ["NEXT_PUBLIC_API_URL", "https://example.com/tasks/"],
  ["NEXT_PUBLIC_API_URL", "https://example.com/tasks?x=1"],
  ["NEXT_PUBLIC_API_URL", "https://example.com/#x"],
  ["NEXT_PUBLIC_API_URL", "/api"],
  ["SMTP_URL", "mail.internal:25"],
  ["SMTP_URL", "https://mail.internal"],
  ["SMTP_URL", "smtp://?host=mail.internal"],
  ["MAIL_FROM", "Nobody"],
  ["MAIL_FROM", "one@example.com, two@example.com"],
  ["MAIL_FROM", "Tasks <tasks@example.com>, other@example.com"],
])("%s=%s is rejected with a one-line message without the value", async (name, value) => {
  const message = await load({ ...MAIL, [name]: value }).then(
    () => "nothing",
    (error) => error.message,
  );

  expect(message).toMatch(new RegExp(`^${name} must `));
  expect(message).not.toContain(value);
  expect(message).not.toContain("\n");
});

test.each([
  ["BETTER_AUTH_URL", "https://example.com"],
  ["BETTER_AUTH_URL", "http://127.0.0.1:3001"],
  ["NEXT_PUBLIC_API_URL", "https://example.com/tasks"],
  ["JWT_AUDIENCE", "tasks"],
])("%s=%s is valid", async (name, value) => {
  expect(Object.values(await load({ [name]: value }))).toContain(value);
});

test("email and providers are optional", async () => {
  expect(await load({})).toMatchObject({ mail: undefined, google: undefined, github: undefined });
});

test.each(["tasks@example.com", "Tasks <tasks@example.com>"])(
  "%s is a valid sender",
  async (from) => {
    const { mail } = await load({ ...MAIL, MAIL_FROM: from });

    expect(mail).toEqual([MAIL.SMTP_URL, from]);
  },
);

test("a provider with both variables is enabled", async () => {
  const { google, github } = await load({
    GITHUB_CLIENT_ID: "id",
    GITHUB_CLIENT_SECRET: "some words",
  });

  expect(github).toEqual({ clientId: "id", clientSecret: "some words" });
  expect(google).toBeUndefined();
});

test.each([
  [{ SMTP_URL: MAIL.SMTP_URL }, "MAIL_FROM"],
  [{ MAIL_FROM: MAIL.MAIL_FROM }, "SMTP_URL"],
  [{ GOOGLE_CLIENT_ID: "id" }, "GOOGLE_CLIENT_SECRET"],
  [{ GITHUB_CLIENT_SECRET: "some words" }, "GITHUB_CLIENT_ID"],
])("%j without %s is rejected", async (settings, missing) => {
  await expect(load(settings)).rejects.toThrow(new RegExp(`^${missing} must `));
});

test("a build without settings uses placeholders that cannot be real values", async () => {
  vi.stubEnv("NEXT_PHASE", "phase-production-build");

  const { secret, issuer } = await load({ BETTER_AUTH_SECRET: "", BETTER_AUTH_URL: "" });

  expect(issuer).toMatch(/\.invalid$/);
  expect(secret).not.toBe(issuer);
});
