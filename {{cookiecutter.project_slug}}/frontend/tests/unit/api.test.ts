/** The client for the service's API, against a real HTTP server. */
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { Backend, createToken, gate, problemReply, type Reply, tokenReply } from "./backend";

const TASKS = "/api/v1/tasks";
const MINUTE = 60_000;
const TASK = { id: "6f1c", title: "Water the tomatoes" };

/** Loads the client as a new page does: without a token. */
async function load(backend: Backend) {
  const url = await backend.start();
  vi.stubEnv("BETTER_AUTH_URL", url);
  vi.stubEnv("NEXT_PUBLIC_API_URL", url);
  vi.resetModules();
  return import("@/lib/api");
}

describe("the token", () => {
  let backend: Backend;
  let client: typeof import("@/lib/api");

  beforeEach(async () => {
    backend = new Backend();
    client = await load(backend);
  });

  afterEach(() => {
    vi.useRealTimers(); // Of these, tests change only the date.
    backend.stop();
  });

  const list = () => client.answer(client.api.GET(TASKS));
  const create = () => client.answer(client.api.POST(TASKS, { body: { title: TASK.title } }));

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

  test("of another user is not used: the page still shows the first user's tasks", async () => {
    await list();
    backend.onToken = (number) => tokenReply(number, "bob");
    vi.setSystemTime(Date.now() + 5 * MINUTE);

    await expect(list()).rejects.toMatchObject({
      message: "Somebody else has signed in in this browser. Reload the page.",
    });
    expect(backend.calls).toHaveLength(1);
  });

  test("is fetched again after a fetch that failed", async () => {
    backend.onToken = (number) => (number === 1 ? { status: 500 } : tokenReply(number));

    await expect(list()).rejects.toMatchObject({ status: 500, isPassing: true });
    await list();

    expect(backend.tokensSent).toEqual([createToken(2)]);
  });

  test("cannot be fetched without a session, and the message says so", async () => {
    backend.onToken = () => ({ status: 401, body: { message: "Unauthorized" } });

    await expect(create()).rejects.toMatchObject({
      message: "You are signed out. Sign in again, then repeat this.",
    });
    expect(backend.tokenRequests).toHaveLength(1);
    expect(backend.calls).toEqual([]);
  });
});

// These tests wait for real pauses, all at the same time.
describe.concurrent("a request", () => {
  const backend = new Backend();
  const responses = new Map<string, (number: number) => Reply | "lost">();
  let client: typeof import("@/lib/api");

  beforeAll(async () => {
    backend.onCall = ({ body }) => {
      const { title } = JSON.parse(body);
      return responses.get(title)?.(received(title).length) ?? problemReply(404);
    };
    client = await load(backend);
    return () => backend.stop();
  });

  const received = (title: string) =>
    backend.calls.filter(({ body }) => JSON.parse(body).title === title);
  const pauses = (title: string) => {
    const times = received(title).map(({ at }) => at);
    return times.slice(1).map((time, index) => time - (times[index] ?? 0));
  };
  const keys = (title: string) => received(title).map(({ headers }) => headers["idempotency-key"]);
  const create = (title: string, key?: string) =>
    client.answer(
      client.api.POST(TASKS, {
        params: { header: key ? { "Idempotency-Key": key } : {} },
        body: { title },
      }),
    );
  const rename = (title: string) =>
    client.answer(
      client.api.PATCH("/api/v1/tasks/{id}", {
        params: { path: { id: TASK.id } },
        body: { title },
      }),
    );
  const created: Reply = { status: 201, body: TASK };

  test("that creates is repeated with the same key and body if the response is lost", async ({
    expect,
  }) => {
    responses.set("lost twice", (number) => (number < 3 ? "lost" : created));

    await expect(create("lost twice", '"the-key"')).resolves.toEqual(TASK);
    expect(keys("lost twice")).toEqual(Array(3).fill('"the-key"'));
    const [first, second] = pauses("lost twice");
    expect(first).toBeGreaterThan(490);
    expect(second).toBeGreaterThan(1990);
  });

  test("that creates has a new key for each call, and one for all attempts", async ({ expect }) => {
    responses.set("busy once", (number) => (number === 1 ? problemReply(503) : created));

    await create("busy once");
    await create("busy once");

    const [first, second, third] = keys("busy once");
    expect(first).toMatch(/^"[^"]{16,}"$/);
    expect(second).toBe(first);
    expect(third).not.toBe(first);
  });

  test("that creates fails as unreachable after three lost responses", async ({ expect }) => {
    responses.set("always lost", () => "lost");

    await expect(create("always lost")).rejects.toMatchObject({
      message: "The task service cannot be reached. Check your connection and try again.",
      isPassing: true,
    });
    expect(received("always lost")).toHaveLength(3);
  });

  test.each([503, 409])(
    "that creates waits as long as Retry-After of a %i says",
    async (status) => {
      const title = `wait after ${status}`;
      responses.set(title, (number) =>
        number === 1 ? problemReply(status, { "Retry-After": "1" }) : created,
      );

      await create(title);

      expect(pauses(title)).toEqual([expect.toSatisfy((pause) => pause > 990)]);
    },
  );

  test("that creates is not repeated if Retry-After is longer than users would wait", async ({
    expect,
  }) => {
    responses.set("too long", () => problemReply(429, { "Retry-After": "6" }));

    await expect(create("too long")).rejects.toMatchObject({ status: 429, retryAfterSeconds: 6 });
    expect(received("too long")).toHaveLength(1);
  });

  test.each([400, 409, 422, 500])("that creates is not repeated after a %i", async (status) => {
    const title = `refused with ${status}`;
    responses.set(title, () => problemReply(status));

    await expect(create(title)).rejects.toMatchObject({ status });
    expect(received(title)).toHaveLength(1);
  });

  test.each([
    ["lost", 0],
    [503, 503],
  ] as const)("that changes is not repeated if the response is %s", async (outcome, status) => {
    const title = `changed, then ${outcome}`;
    responses.set(title, () => (outcome === "lost" ? outcome : problemReply(outcome)));

    await expect(rename(title)).rejects.toMatchObject({ status, isPassing: true });
    expect(received(title)).toHaveLength(1);
  });

  test("can be given a key, and no two keys are the same", ({ expect }) => {
    const made = Array.from({ length: 100 }, () => client.newKey());

    expect(new Set(made)).toHaveLength(100);
    for (const key of made) expect(key).toMatch(/^"[\d-]+"$/);
  });
});
