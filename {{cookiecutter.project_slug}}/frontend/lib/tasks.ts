/** The query of the task list, for pages on the server and for the browser. */
import { infiniteQueryOptions } from "@tanstack/react-query";
import type { Client } from "openapi-fetch";
import type { components, paths } from "./api-types";
import { answer } from "./problems";

export type Task = components["schemas"]["TaskRead"];
export type NewTask = components["schemas"]["TaskCreate"];
export type TaskChange = components["schemas"]["TaskUpdate"];

export type Show = "all" | "open" | "done";

/** Returns the filter from the page's URL, such as `?show=open`; all tasks for other values. */
export const toShow = (value?: string | null): Show =>
  value === "open" || value === "done" ? value : "all";

/** `api` is the client of `lib/server-api.ts` or of `lib/api.ts`. */
export const tasksQuery = (api: Client<paths>, show: Show) =>
  infiniteQueryOptions({
    queryKey: ["tasks", show],
    queryFn: ({ pageParam: cursor }) => {
      const completed = show === "all" ? undefined : show === "done";
      const query = { limit: 20, cursor, completed };
      return answer(api.GET("/api/v1/tasks", { params: { query } }));
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ next_cursor }) => next_cursor,
  });
