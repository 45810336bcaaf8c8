/** The messages that users see when signing in or changing an account fails. */
import { describe, expect, test, vi } from "vitest";
import { connectionError } from "@/lib/api-errors";
import {
  authErrors,
  linkErrorMessage,
  providerErrorMessage,
  validateRequired,
} from "@/lib/auth-errors";

describe("an error of Better Auth", () => {
  const errorsFor = (error: { status: number; code?: string }) =>
    authErrors(Promise.resolve({ error }));

  test.each([
    ["EMAIL_ALREADY_VERIFIED", 400, ["form"]],
    ["EMAIL_MISMATCH", 400, ["form"]],
    ["EMAIL_NOT_SENT", 503, ["form"]],
    ["EMAIL_NOT_VERIFIED", 403, ["form"]],
    ["INVALID_EMAIL", 400, ["email"]],
    ["INVALID_EMAIL_OR_PASSWORD", 401, ["password"]],
    ["INVALID_PASSWORD", 400, ["currentPassword"]],
    ["INVALID_TOKEN", 400, ["form"]],
    ["PASSWORD_TOO_LONG", 400, ["password"]],
    ["PASSWORD_TOO_SHORT", 400, ["password"]],
    ["SESSION_EXPIRED", 403, ["form"]],
    ["SESSION_NOT_FRESH", 403, ["form"]],
    ["TASKS_NOT_DELETED", 503, ["form"]],
    ["USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL", 422, ["email"]],
    ["VALIDATION_ERROR", 400, ["email"]],
  ])("%s has a message without the code", async (code, status, fields) => {
    const messages = await errorsFor({ status, code });

    expect(Object.keys(messages ?? {})).toEqual(fields);
    expect(Object.values(messages ?? {}).join()).not.toMatch(/[A-Z]_/);
  });

  test.each(["INVALID_ORIGIN", "MISSING_OR_NULL_ORIGIN"])(
    "%s has a message with the wrong origin",
    async (code) => {
      vi.stubGlobal("location", { origin: "http://127.0.0.1:3000" });

      expect(await errorsFor({ status: 403, code })).toEqual({
        form: expect.stringContaining("from http://127.0.0.1:3000"),
      });
    },
  );

  test("with an unknown code has a message with the code", async () => {
    expect(await errorsFor({ status: 400, code: "NEW_CODE" })).toEqual({
      form: expect.stringContaining("NEW_CODE"),
    });
  });

  test("with status 429 has a message that says how long to wait", async () => {
    expect(await errorsFor({ status: 429 })).toEqual({
      form: expect.stringMatching(/Wait .* and try again/),
    });
  });

  test("with status 401 has a message that the user is signed out", async () => {
    expect(await errorsFor({ status: 401, code: "UNAUTHORIZED" })).toEqual({
      form: expect.stringContaining("You are signed out"),
    });
  });

  test("without a response has a message that the site cannot be reached", async () => {
    expect(await authErrors(Promise.reject(new TypeError("fetch failed")))).toEqual({
      form: connectionError("This site").message,
    });
  });

  test("is undefined if the request succeeds", async () => {
    expect(await authErrors(Promise.resolve({ error: null }))).toBeUndefined();
  });
});

describe("required fields", () => {
  test("without values each get a message", () => {
    expect(validateRequired({ name: " ", email: "ann", password: "" })).toEqual({
      name: "Enter your name.",
      email: "Enter your email address.",
      password: "Enter a password.",
    });
  });

  test("with values get none", () => {
    expect(
      validateRequired({ email: "ann@example.com", password: "correct horse" }),
    ).toBeUndefined();
  });
});

test.each(["access_denied", "email_not_found", "state_mismatch", "unheard_of"])(
  "a failed sign-in with a provider (%s) has a message without the code",
  (error) => {
    expect(providerErrorMessage(error)).not.toContain(error);
  },
);

test("unlinked accounts and unverified addresses have the same message", () => {
  expect(providerErrorMessage("account_not_linked")).toBe(
    providerErrorMessage("email_not_verified"),
  );
});

test.each(["INVALID_USER", "TOKEN_EXPIRED", "INVALID_TOKEN"])(
  "an invalid link (%s) has a message without the code",
  (error) => {
    expect(linkErrorMessage(error)).toMatch(/^This link /);
    expect(linkErrorMessage(error)).not.toContain(error);
  },
);
