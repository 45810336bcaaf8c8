/** The list's query, with the browser's client against a real HTTP server, and tasks' rules. */
import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  ConflictError,
  matchesFilter,
  parseFilter,
  type Task,
  type TaskFilter,
  taskListOptions,
  validateTitle,
} from "@/lib/tasks";
import { FakeBackend } from "./fake-backend";

const TASK: Task = {
  id: "6f1c",
  title: "Water the tomatoes",
  description: null,
  completed: false,
  version: 1,
  created_at: "2026-01-01T00:00:00Z",
  updated_at: "2026-01-01T00:00:00Z",
};

describe("the list query", () => {
  let backend: FakeBackend;
  let api: typeof import("@/lib/api")["api"];
  let queryClient: QueryClient;

  beforeEach(async () => {
    backend = new FakeBackend();
    const url = await backend.start();
    vi.stubEnv("BETTER_AUTH_URL", url);
    vi.stubEnv("NEXT_PUBLIC_API_URL", url);
    vi.resetModules();
    ({ api } = await import("@/lib/api"));
    queryClient = new QueryClient();
  });

  afterEach(() => {
    queryClient.clear();
    backend.stop();
  });

  test.each([
    ["all", null],
    ["open", "false"],
    ["done", "true"],
  ] as const)("with the filter %s sends completed=%s", async (filter, completed) => {
    await queryClient.infiniteQuery(taskListOptions(api, filter));

    const { searchParams } = new URL(backend.requests[0]?.path ?? "", "http://localhost");
    expect(searchParams.get("completed")).toBe(completed);
    expect(searchParams.has("cursor")).toBe(false);
  });

  test("follows next_cursor until it is null", async () => {
    backend.onRequest = (_, number) => ({
      body: { items: [{ id: `${number}` }], next_cursor: number === 1 ? "after 1" : null },
    });

    const { pages } = await queryClient.infiniteQuery({ ...taskListOptions(api, "all"), pages: 3 });

    expect(pages.map(({ items }) => items[0]?.id)).toEqual(["1", "2"]);
    expect(backend.requests[1]?.path).toContain("cursor=after%201");
  });
});

test.each([
  ["open", "open"],
  ["done", "done"],
  ["all", "all"],
  ["other", "all"],
  ["", "all"],
  [null, "all"],
  [undefined, "all"],
] satisfies [string | null | undefined, TaskFilter][])(
  "?show=%s selects the filter %s",
  (value, filter) => {
    expect(parseFilter(value)).toBe(filter);
  },
);

test.each([
  ["all", true, true],
  ["open", true, false],
  ["done", true, true],
  ["all", false, true],
  ["open", false, true],
  ["done", false, false],
] as const)("filter %s with completed: %s matches: %s", (filter, completed, matches) => {
  expect(matchesFilter({ ...TASK, completed }, filter)).toBe(matches);
});

describe("a title", () => {
  test.each(["a", " a ", "a".repeat(200), "🍅".repeat(200)])("%s is valid", (title) => {
    expect(() => validateTitle(title)).not.toThrow();
  });

  test.each(["", "   "])("without characters is rejected: '%s'", (title) => {
    expect(() => validateTitle(title)).toThrow("Enter a title.");
  });

  test("with more than 200 characters is rejected, and the message has its length", () => {
    expect(() => validateTitle(` ${"🍅".repeat(201)} `)).toThrow("This one has 201.");
  });
});

describe("a conflict", () => {
  test("has a message with the current title and state", () => {
    const current = { ...TASK, title: "Water the roses", completed: true };

    expect(new ConflictError(TASK, current).message).toContain(
      "It now reads “Water the roses” and is done.",
    );
  });

  test("has a message with the description if that was changed", () => {
    const current = { ...TASK, description: "Twice a day" };

    expect(new ConflictError(TASK, current).message).toContain(
      "It now reads “Water the tomatoes”, with “Twice a day”, and is not done.",
    );
  });

  test("is not retryable", () => {
    expect(new ConflictError(TASK, TASK).isRetryable).toBe(false);
  });
});
