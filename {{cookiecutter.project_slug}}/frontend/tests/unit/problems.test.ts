/** The messages that users see when something fails. */
import { describe, expect, test, vi } from "vitest";
import {
  inWords,
  isPassing,
  linkProblem,
  missing,
  Problem,
  providerProblem,
  refusal,
  retryDelay,
  serviceProblem,
  titleProblem,
  unreachable,
} from "@/lib/problems";

const response = (status: number, headers = {}) => new Response(null, { status, headers });
const invalid = (field: string, msg: string) => ({ errors: [{ loc: ["body", field], msg }] });

describe("an error response of the service", () => {
  test.each([
    [401, "does not accept your sign-in"],
    [404, "no longer there"],
    [412, "changed elsewhere"],
    [413, "too much text"],
    [429, "Too many requests"],
    [503, "temporarily unavailable"],
  ])("%i becomes a message for users", (status, words) => {
    const problem = serviceProblem(response(status), { detail: "for developers" });

    expect(problem.message).toContain(words);
    expect(problem.message).not.toContain("developers");
    expect(problem.status).toBe(status);
  });

  test("409 for a request that is still being processed has the message of 503", () => {
    const problem = serviceProblem(response(409, { "Retry-After": "1" }), {});

    expect(problem.message).toBe(serviceProblem(response(503), {}).message);
    expect(problem.retryAfterSeconds).toBe(1);
  });

  test("422 for the title states the rule", () => {
    const problem = serviceProblem(response(422), invalid("title", "String should have …"));

    expect(problem.message).toMatch(/at least one and at most 200 characters/);
  });

  test("422 for another field names it", () => {
    const problem = serviceProblem(response(422), invalid("due_on", "Input should be a date"));

    expect(problem.message).toContain("due_on: Input should be a date");
  });

  test("422 without details still has a message", () => {
    expect(serviceProblem(response(422), {}).message).toContain("input: invalid");
  });

  test("any other status includes the request id to report", () => {
    const problem = serviceProblem(response(500), { request_id: "r-1" });

    expect(problem.message).toMatch(/failed \(500\).*report r-1/);
  });

  test.each([undefined, "<html>Bad gateway</html>"])(
    "without a problem document in its body has a message, too: %s",
    (body) => {
      expect(serviceProblem(response(502), body).message).toContain("failed (502)");
    },
  );
});

test.each([
  [0, true],
  [429, true],
  [503, true],
  [401, false],
  [404, false],
  [412, false],
])("a problem with status %i is temporary: %s", (status, passes) => {
  expect(isPassing(new Problem("…", status))).toBe(passes);
});

test("a 409 is temporary only with Retry-After", () => {
  expect(isPassing(serviceProblem(response(409, { "Retry-After": "1" }), {}))).toBe(true);
  expect(isPassing(serviceProblem(response(409), {}))).toBe(false);
  expect(isPassing(new TypeError())).toBe(false);
});

test("the delay between retries doubles up to 30 s, and is at least Retry-After", () => {
  const seconds = (failures: number, retryAfter?: number) =>
    retryDelay(failures, new Problem("…", 503, retryAfter)) / 1000;

  expect([0, 1, 2, 9].map((failures) => seconds(failures))).toEqual([1, 2, 4, 30]);
  expect(seconds(0, 7)).toBe(7);
  expect(seconds(3, 7)).toBe(8);
});

test("an unexpected error is reported without its message", () => {
  expect(inWords(new TypeError("x is undefined"))).not.toContain("undefined");
  expect(inWords(unreachable("This site"))).toMatch(/^This site cannot be reached/);
});

describe("a title", () => {
  test.each(["a", " a ", "a".repeat(200), "🍅".repeat(200)])("%s is accepted", (title) => {
    expect(titleProblem(title)).toBeUndefined();
  });

  test.each(["", "   "])("without characters is rejected: '%s'", (title) => {
    expect(titleProblem(title)).toBe("Enter a title.");
  });

  test("with more than 200 characters is rejected with its length", () => {
    expect(titleProblem(` ${"🍅".repeat(201)} `)).toContain("this one has 201");
  });
});

describe("an error of Better Auth", () => {
  const refused = (error: { status: number; code?: string }) => refusal(Promise.resolve({ error }));

  test.each([
    ["EMAIL_ALREADY_VERIFIED", 400, ["form"]],
    ["EMAIL_MISMATCH", 400, ["form"]],
    ["EMAIL_NOT_SENT", 503, ["form"]],
    ["EMAIL_NOT_VERIFIED", 403, ["form"]],
    ["INVALID_EMAIL", 400, ["email"]],
    ["INVALID_EMAIL_OR_PASSWORD", 401, ["password"]],
    ["INVALID_PASSWORD", 400, ["current"]],
    ["INVALID_TOKEN", 400, ["form"]],
    ["PASSWORD_TOO_LONG", 400, ["password"]],
    ["PASSWORD_TOO_SHORT", 400, ["password"]],
    ["SESSION_EXPIRED", 403, ["form"]],
    ["SESSION_NOT_FRESH", 403, ["form"]],
    ["TASKS_NOT_DELETED", 503, ["form"]],
    ["USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL", 422, ["email"]],
    ["VALIDATION_ERROR", 400, ["email"]],
  ])("%s has a message without the code", async (code, status, fields) => {
    const messages = await refused({ status, code });

    expect(Object.keys(messages ?? {})).toEqual(fields);
    expect(Object.values(messages ?? {}).join()).not.toMatch(/[A-Z]_/);
  });

  test.each(["INVALID_ORIGIN", "MISSING_OR_NULL_ORIGIN"])("%s names the address", async (code) => {
    vi.stubGlobal("location", { origin: "http://127.0.0.1:3000" });

    expect(await refused({ status: 403, code })).toEqual({
      form: expect.stringContaining("from http://127.0.0.1:3000"),
    });
  });

  test("with an unknown code is reported with it", async () => {
    expect(await refused({ status: 400, code: "NEW_CODE" })).toEqual({
      form: expect.stringContaining("NEW_CODE"),
    });
  });

  test("for too many attempts says how long to wait", async () => {
    expect(await refused({ status: 429 })).toEqual({
      form: expect.stringMatching(/Wait .* and try again/),
    });
  });

  test("for a session that has ended says to sign in again", async () => {
    expect(await refused({ status: 401, code: "UNAUTHORIZED" })).toEqual({
      form: expect.stringContaining("You are signed out"),
    });
  });

  test("because of a failed request says that the site cannot be reached", async () => {
    expect(await refusal(Promise.reject(new TypeError("fetch failed")))).toEqual({
      form: unreachable("This site").message,
    });
  });

  test("is undefined if the request succeeded", async () => {
    expect(await refusal(Promise.resolve({ error: null }))).toBeUndefined();
  });
});

describe("a form", () => {
  test("without values gets an error for each field", () => {
    expect(missing({ name: " ", email: "ann", password: "" })).toEqual({
      name: "Enter your name.",
      email: "Enter your email address.",
      password: "Enter a password.",
    });
  });

  test("with all values gets no error", () => {
    expect(missing({ email: "ann@example.com", password: "correct horse" })).toBeUndefined();
  });
});

test.each(["access_denied", "email_not_found", "state_mismatch", "unheard_of"])(
  "provider sign-in that fails with %s has a message without the code",
  (error) => {
    expect(providerProblem(error)).not.toContain(error);
  },
);

test("unlinked accounts and unverified addresses get the same message", () => {
  expect(providerProblem("account_not_linked")).toBe(providerProblem("email_not_verified"));
});

test.each(["INVALID_USER", "TOKEN_EXPIRED", "INVALID_TOKEN"])(
  "a link that fails with %s has a message without the code",
  (error) => {
    expect(linkProblem(error)).toMatch(/^This link /);
    expect(linkProblem(error)).not.toContain(error);
  },
);
