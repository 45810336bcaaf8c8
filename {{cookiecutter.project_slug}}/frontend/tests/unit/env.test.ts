/** The settings: which values the app starts with, and what it says about others. */
import { expect, test, vi } from "vitest";

const GOOD = {
  BETTER_AUTH_SECRET: "a secret that is only for these tests",
  BETTER_AUTH_URL: "http://localhost:3000",
  JWT_AUDIENCE: "http://localhost:8000",
  NEXT_PUBLIC_API_URL: "http://localhost:8000",
};

async function load(settings: Record<string, string>) {
  for (const [name, value] of Object.entries({ ...GOOD, ...settings })) vi.stubEnv(name, value);
  vi.resetModules();
  return (await import("@/lib/env")).env;
}

test("complete settings are accepted", async () => {
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
])("%s=%s is refused in one line without the value", async (name, value) => {
  const message = await load({ [name]: value }).then(
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
])("%s=%s is accepted", async (name, value) => {
  expect(Object.values(await load({ [name]: value }))).toContain(value);
});

test("a build needs no settings, and gets no value that could be one", async () => {
  vi.stubEnv("NEXT_PHASE", "phase-production-build");

  const { secret, issuer } = await load({ BETTER_AUTH_SECRET: "", BETTER_AUTH_URL: "" });

  expect(issuer).toMatch(/\.invalid$/);
  expect(secret).not.toBe(issuer);
});
