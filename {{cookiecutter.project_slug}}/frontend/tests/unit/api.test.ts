/** The client for the service's API, against a real HTTP server. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Backend, createToken, gate, problemReply, tokenReply } from "./backend";

const TASKS = "/api/v1/tasks";
const MINUTE = 60_000;
const TASK = { id: "6f1c", title: "Water the tomatoes" };

let backend: Backend;
let client: typeof import("@/lib/api");

beforeEach(async () => {
  backend = new Backend();
  const url = await backend.start();
  vi.stubEnv("BETTER_AUTH_URL", url);
  vi.stubEnv("NEXT_PUBLIC_API_URL", url);
  vi.resetModules(); // As in a newly loaded page, there is no token.
  client = await import("@/lib/api");
});

afterEach(() => {
  vi.useRealTimers(); // Tests change only the date.
  backend.stop();
});

const list = () => client.answer(client.api.GET(TASKS));
const create = () => client.answer(client.api.POST(TASKS, { body: { title: TASK.title } }));

describe("the token", () => {
  test("is fetched once for concurrent calls, and sent with each of them", async () => {
    await Promise.all([list(), list(), list(), create()]);

    expect(backend.tokenRequests).toHaveLength(1);
    expect(backend.tokensSent).toEqual(Array(4).fill(createToken(1)));
  });

  test("is kept until nine tenths of its lifetime have passed, then replaced", async () => {
    await list();
    vi.setSystemTime(Date.now() + 4.49 * MINUTE);
    await list();
    vi.setSystemTime(Date.now() + 0.02 * MINUTE);
    await list();

    expect(backend.tokensSent).toEqual([1, 1, 2].map((number) => createToken(number)));
  });

  test("is replaced once after a 401, and the call is repeated with its body", async () => {
    backend.onCall = (_, number) =>
      number === 1 ? problemReply(401) : { status: 201, body: TASK };

    const created = await create();

    expect(created).toEqual(TASK);
    expect(backend.tokensSent).toEqual([createToken(1), createToken(2)]);
    expect(backend.calls.map(({ body }) => JSON.parse(body))).toEqual(
      Array(2).fill({ title: TASK.title }),
    );
  });

  test("is not replaced again if the service rejects the second one, too", async () => {
    backend.onCall = () => problemReply(401);

    await expect(list()).rejects.toMatchObject({ status: 401, isPassing: false });
    expect(backend.calls).toHaveLength(2);
    expect(backend.tokenRequests).toHaveLength(2);
  });

  test("is replaced once if the service rejects it for concurrent calls", async () => {
    backend.onCall = ({ headers }) =>
      headers.authorization?.endsWith(createToken(1)) ? problemReply(401) : { body: {} };

    await Promise.all([list(), list(), list()]);

    expect(backend.tokenRequests).toHaveLength(2);
  });

  test("is forgotten at sign-out", async () => {
    await list();
    client.forgetToken();
    backend.onToken = (number) => tokenReply(number, "bob");
    await list();

    expect(backend.tokensSent).toEqual([createToken(1), createToken(2, "bob")]);
  });

  test("is not used by later calls if it arrives after sign-out", async () => {
    const { opened, open } = gate();
    backend.onToken = async (number) => {
      if (number === 1) await opened;
      return tokenReply(number, number === 1 ? "ann" : "bob");
    };
    const early = list();
    await vi.waitUntil(() => backend.tokenRequests.length === 1);
    client.forgetToken();
    await list();
    open();
    await early;
    await list();

    const bobs = createToken(2, "bob");
    expect(backend.tokensSent).toEqual([bobs, createToken(1, "ann"), bobs]);
  });

  test("of another user is rejected: the page still shows the first user's tasks", async () => {
    await list();
    backend.onToken = (number) => tokenReply(number, "bob");
    vi.setSystemTime(Date.now() + 5 * MINUTE);

    await expect(list()).rejects.toMatchObject({
      message: "Somebody else has signed in in this browser. Reload the page.",
    });
    expect(backend.calls).toHaveLength(1);
  });

  test("of a user other than the page's is rejected, even if it is the first one", async () => {
    client.expectOwner("ann");
    backend.onToken = (number) => tokenReply(number, "bob");

    await expect(create()).rejects.toMatchObject({ status: 401 });
    expect(backend.calls).toEqual([]);
  });

  test("is fetched again after a failed fetch", async () => {
    backend.onToken = (number) => (number === 1 ? { status: 500 } : tokenReply(number));

    await expect(list()).rejects.toMatchObject({ status: 500, isPassing: true });
    await list();

    expect(backend.tokensSent).toEqual([createToken(2)]);
  });

  test("cannot be fetched without a session, and the message says so", async () => {
    backend.onToken = () => ({ status: 401, body: { message: "Unauthorized" } });

    await expect(create()).rejects.toMatchObject({
      message: "You are signed out. Sign in again, then retry.",
    });
    expect(backend.tokenRequests).toHaveLength(1);
    expect(backend.calls).toEqual([]);
  });
});

describe("a request", () => {
  test("sends the Idempotency-Key that the caller passes", async () => {
    const params = { header: { "Idempotency-Key": '"the-key"' } };

    await client.answer(client.api.POST(TASKS, { params, body: { title: TASK.title } }));

    expect(backend.calls[0]?.headers["idempotency-key"]).toBe('"the-key"');
  });

  test("that gets no response fails as unreachable, and may succeed later", async () => {
    backend.onCall = () => "lost";

    await expect(list()).rejects.toMatchObject({
      message: "The task service cannot be reached. Check your connection and try again.",
      isPassing: true,
    });
  });

  test("fails with the message for its status", async () => {
    backend.onCall = () => problemReply(429, { "Retry-After": "6" });

    await expect(create()).rejects.toMatchObject({
      message: expect.stringContaining("Too many requests"),
      retryAfterSeconds: 6,
      isPassing: true,
    });
  });

  // Retries are up to the caller, who knows whether a request may be repeated.
  test.each(["lost", 409, 500, 503] as const)("is sent once if the response is %s", async (way) => {
    backend.onCall = () => (way === "lost" ? way : problemReply(way));

    await expect(create()).rejects.toThrow();
    expect(backend.calls).toHaveLength(1);
  });
});

test("idempotency keys are unique and quoted", () => {
  const keys = Array.from({ length: 100 }, () => client.newKey());

  expect(new Set(keys)).toHaveLength(100);
  for (const key of keys) expect(key).toMatch(/^"[\d-]+"$/);
});
