/** The browser's client for the service's API, against a real HTTP server. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createToken, deferred, errorResponse, FakeBackend, tokenResponse } from "./fake-backend";

const TASKS = "/api/v1/tasks";
const MINUTE = 60_000;
const TASK = { id: "6f1c", title: "Water the tomatoes" };

let backend: FakeBackend;
let client: typeof import("@/lib/api");
let unwrap: typeof import("@/lib/api-errors")["unwrap"];

beforeEach(async () => {
  backend = new FakeBackend();
  const url = await backend.start();
  vi.stubEnv("BETTER_AUTH_URL", url);
  vi.stubEnv("NEXT_PUBLIC_API_URL", url);
  vi.resetModules(); // Like a newly loaded page, it has no token.
  client = await import("@/lib/api");
  ({ unwrap } = await import("@/lib/api-errors"));
});

afterEach(() => {
  vi.useRealTimers(); // Tests change only the date.
  backend.stop();
});

const list = () => unwrap(client.api.GET(TASKS));
const create = () => unwrap(client.api.POST(TASKS, { body: { title: TASK.title } }));

describe("the token", () => {
  test("is fetched once for concurrent requests and sent with each", async () => {
    await Promise.all([list(), list(), list(), create()]);

    expect(backend.tokenRequests).toHaveLength(1);
    expect(backend.tokensSent).toEqual(Array(4).fill(createToken(1)));
  });

  test("is cached for nine tenths of its lifetime", async () => {
    await list();
    vi.setSystemTime(Date.now() + 4.49 * MINUTE);
    await list();
    vi.setSystemTime(Date.now() + 0.02 * MINUTE);
    await list();

    expect(backend.tokensSent).toEqual([1, 1, 2].map((number) => createToken(number)));
  });

  test("is replaced after a 401, and the request is sent again with its body", async () => {
    backend.onRequest = (_, number) =>
      number === 1 ? errorResponse(401) : { status: 201, body: TASK };

    const created = await create();

    expect(created).toEqual(TASK);
    expect(backend.tokensSent).toEqual([createToken(1), createToken(2)]);
    expect(backend.requests.map(({ body }) => JSON.parse(body))).toEqual(
      Array(2).fill({ title: TASK.title }),
    );
  });

  test("is replaced only once if the service rejects the new one, too", async () => {
    backend.onRequest = () => errorResponse(401);

    await expect(list()).rejects.toMatchObject({ status: 401, isRetryable: false });
    expect(backend.requests).toHaveLength(2);
    expect(backend.tokenRequests).toHaveLength(2);
  });

  test("is fetched once if the service rejects it for concurrent requests", async () => {
    backend.onRequest = ({ headers }) =>
      headers.authorization?.endsWith(createToken(1)) ? errorResponse(401) : { body: {} };

    await Promise.all([list(), list(), list()]);

    expect(backend.tokenRequests).toHaveLength(2);
  });

  test("is fetched again after sign-out", async () => {
    await list();
    client.clearToken();
    backend.onToken = (number) => tokenResponse(number, "bob");
    await list();

    expect(backend.tokensSent).toEqual([createToken(1), createToken(2, "bob")]);
  });

  test("that arrives after sign-out is not used by later requests", async () => {
    const { promise, resolve } = deferred();
    backend.onToken = async (number) => {
      if (number === 1) await promise;
      return tokenResponse(number, number === 1 ? "ann" : "bob");
    };
    const early = list();
    await vi.waitUntil(() => backend.tokenRequests.length === 1);
    client.clearToken();
    await list();
    resolve();
    await early;
    await list();

    const bobs = createToken(2, "bob");
    expect(backend.tokensSent).toEqual([bobs, createToken(1, "ann"), bobs]);
  });

  test("of another user is rejected while the page shows the first user's tasks", async () => {
    await list();
    backend.onToken = (number) => tokenResponse(number, "bob");
    vi.setSystemTime(Date.now() + 5 * MINUTE);

    await expect(list()).rejects.toMatchObject({
      message: "Another user has signed in with this browser. Reload the page.",
    });
    expect(backend.requests).toHaveLength(1);
  });

  test("of another user than the page's is rejected on the first request", async () => {
    client.expectUser("ann");
    backend.onToken = (number) => tokenResponse(number, "bob");

    await expect(create()).rejects.toMatchObject({ status: 401 });
    expect(backend.requests).toEqual([]);
  });

  test("is fetched again after a failed fetch", async () => {
    backend.onToken = (number) => (number === 1 ? { status: 500 } : tokenResponse(number));

    await expect(list()).rejects.toMatchObject({ status: 500, isRetryable: true });
    await list();

    expect(backend.tokensSent).toEqual([createToken(2)]);
  });

  test("without a session fails with a message that the user is signed out", async () => {
    backend.onToken = () => ({ status: 401, body: { message: "Unauthorized" } });

    await expect(create()).rejects.toMatchObject({
      message: "You are signed out. Sign in again, then retry.",
    });
    expect(backend.tokenRequests).toHaveLength(1);
    expect(backend.requests).toEqual([]);
  });
});

describe("a request", () => {
  test("sends the given Idempotency-Key", async () => {
    const params = { header: { "Idempotency-Key": '"the-key"' } };

    await unwrap(client.api.POST(TASKS, { params, body: { title: TASK.title } }));

    expect(backend.requests[0]?.headers["idempotency-key"]).toBe('"the-key"');
  });

  test("without a response fails with a retryable connection error", async () => {
    backend.onRequest = () => "lost";

    await expect(list()).rejects.toMatchObject({
      message: "The task service cannot be reached. Check your connection and try again.",
      isRetryable: true,
    });
  });

  test("with an error response fails with the message for its status", async () => {
    backend.onRequest = () => errorResponse(429, { "Retry-After": "6" });

    await expect(create()).rejects.toMatchObject({
      message: expect.stringContaining("Too many requests"),
      retryAfterSeconds: 6,
      isRetryable: true,
    });
  });

  // Callers decide about retries: they know whether a request may be repeated.
  test.each(["lost", 409, 500, 503] as const)(
    "is sent once if the response is %s",
    async (outcome) => {
      backend.onRequest = () => (outcome === "lost" ? outcome : errorResponse(outcome));

      await expect(create()).rejects.toThrow();
      expect(backend.requests).toHaveLength(1);
    },
  );
});

test("idempotency keys are unique and quoted", () => {
  const keys = Array.from({ length: 100 }, () => client.newIdempotencyKey());

  expect(new Set(keys)).toHaveLength(100);
  for (const key of keys) expect(key).toMatch(/^"[\d-]+"$/);
});
