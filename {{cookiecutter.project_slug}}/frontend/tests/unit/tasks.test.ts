/** The query for the task list, with the browser's client, against a real HTTP server. */
import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Show, tasksQuery, toShow } from "@/lib/tasks";
import { Backend } from "./backend";

let backend: Backend;
let api: typeof import("@/lib/api")["api"];
let queries: QueryClient;

beforeEach(async () => {
  backend = new Backend();
  const url = await backend.start();
  vi.stubEnv("BETTER_AUTH_URL", url);
  vi.stubEnv("NEXT_PUBLIC_API_URL", url);
  vi.resetModules();
  ({ api } = await import("@/lib/api"));
  queries = new QueryClient();
});

afterEach(() => {
  queries.clear();
  backend.stop();
});

test.each([
  ["all", null],
  ["open", "false"],
  ["done", "true"],
] as const)("the query for %s tasks sends completed=%s", async (show, completed) => {
  await queries.infiniteQuery(tasksQuery(api, show));

  const { searchParams } = new URL(backend.calls[0]?.path ?? "", "http://localhost");
  expect(searchParams.get("completed")).toBe(completed);
  expect(searchParams.has("cursor")).toBe(false);
});

test("the query follows next_cursor until there is none", async () => {
  backend.onCall = (_, number) => ({
    body: { items: [{ id: `${number}` }], next_cursor: number === 1 ? "after 1" : null },
  });

  const { pages } = await queries.infiniteQuery({ ...tasksQuery(api, "all"), pages: 3 });

  expect(pages.map(({ items }) => items[0]?.id)).toEqual(["1", "2"]);
  expect(backend.calls[1]?.path).toContain("cursor=after%201");
});

test.each([
  ["open", "open"],
  ["done", "done"],
  ["all", "all"],
  ["other", "all"],
  ["", "all"],
  [null, "all"],
  [undefined, "all"],
] satisfies [string | null | undefined, Show][])("?show=%s shows %s", (value, show) => {
  expect(toShow(value)).toBe(show);
});
