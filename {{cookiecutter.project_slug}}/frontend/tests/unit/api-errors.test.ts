/** The messages that users see when a request to the service fails. */
import { describe, expect, test } from "vitest";
import {
  ApiError,
  connectionError,
  errorMessage,
  isRetryable,
  retryDelay,
  toApiError,
} from "@/lib/api-errors";

const response = (status: number, headers = {}) => new Response(null, { status, headers });
const invalid = (field: string, msg: string) => ({ errors: [{ loc: ["body", field], msg }] });

describe("an error response of the service", () => {
  test.each([
    [401, "did not accept your sign-in"],
    [404, "no longer exists"],
    [412, "changed elsewhere"],
    [413, "too long"],
    [429, "Too many requests"],
    [503, "temporarily unavailable"],
  ])("%i becomes a message for users", (status, text) => {
    const error = toApiError(response(status), { detail: "for developers" });

    expect(error.message).toContain(text);
    expect(error.message).not.toContain("developers");
    expect(error.status).toBe(status);
  });

  test("409 with Retry-After has the same message as 503", () => {
    const error = toApiError(response(409, { "Retry-After": "1" }), {});

    expect(error.message).toBe(toApiError(response(503), {}).message);
    expect(error.retryAfterSeconds).toBe(1);
  });

  test("422 for the title has a message with the rule", () => {
    const error = toApiError(response(422), invalid("title", "String should have …"));

    expect(error.message).toMatch(/1 to 200 characters/);
  });

  test("422 for another field has a message with its name", () => {
    const error = toApiError(response(422), invalid("due_on", "Input should be a date"));

    expect(error.message).toContain("due_on: Input should be a date");
  });

  test("422 without details has a message", () => {
    expect(toApiError(response(422), {}).message).toContain("input: invalid");
  });

  test("any other status has a message with the request id", () => {
    const error = toApiError(response(500), { request_id: "r-1" });

    expect(error.message).toMatch(/failed \(500\).*report r-1/);
  });

  test.each([undefined, "<html>Bad gateway</html>"])("with the body %s has a message", (body) => {
    expect(toApiError(response(502), body).message).toContain("failed (502)");
  });
});

test.each([
  [0, true],
  [429, true],
  [503, true],
  [401, false],
  [404, false],
  [412, false],
])("an error with status %i is retryable: %s", (status, retryable) => {
  expect(isRetryable(new ApiError("…", status))).toBe(retryable);
});

test("a 409 is retryable only with Retry-After", () => {
  expect(isRetryable(toApiError(response(409, { "Retry-After": "1" }), {}))).toBe(true);
  expect(isRetryable(toApiError(response(409), {}))).toBe(false);
  expect(isRetryable(new TypeError())).toBe(false);
});

test("the retry delay doubles up to 30 s, and is at least Retry-After", () => {
  const seconds = (failures: number, retryAfter?: number) =>
    retryDelay(failures, new ApiError("…", 503, retryAfter)) / 1000;

  expect([0, 1, 2, 9].map((failures) => seconds(failures))).toEqual([1, 2, 4, 30]);
  expect(seconds(0, 7)).toBe(7);
  expect(seconds(3, 7)).toBe(8);
});

test("the message for an unexpected error does not contain the error's own", () => {
  expect(errorMessage(new TypeError("x is undefined"))).not.toContain("undefined");
  expect(errorMessage(connectionError("This site"))).toMatch(/^This site cannot be reached/);
});
