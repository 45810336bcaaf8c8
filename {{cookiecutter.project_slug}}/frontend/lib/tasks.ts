/** Tasks, for pages on the server and for the browser. */
import { infiniteQueryOptions } from "@tanstack/react-query";
import type { Client } from "openapi-fetch";
import { ApiError, unwrap } from "./api-errors";
import type { components, paths } from "./api-types";

export type Task = components["schemas"]["TaskRead"];
export type TaskCreate = components["schemas"]["TaskCreate"];
export type TaskUpdate = components["schemas"]["TaskUpdate"];

export type TaskFilter = "all" | "open" | "done";

/** Returns the filter in the page's URL, such as `?show=open`. Any other value means all tasks. */
export const parseFilter = (value?: string | null): TaskFilter =>
  value === "open" || value === "done" ? value : "all";

export const matchesFilter = ({ completed }: Task, filter: TaskFilter) =>
  filter === "all" || completed === (filter === "done");

/** `api` is the client of `lib/server-api.ts` or of `lib/api.ts`. */
export const taskListOptions = (api: Client<paths>, filter: TaskFilter) =>
  infiniteQueryOptions({
    queryKey: ["tasks", filter],
    queryFn: ({ pageParam: cursor }) => {
      const completed = filter === "all" ? undefined : filter === "done";
      const query = { limit: 20, cursor, completed };
      return unwrap(api.GET("/api/v1/tasks", { params: { query } }));
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ next_cursor }) => next_cursor,
  });

/** Throws an ApiError if the service would reject this title. */
export function validateTitle(title: string): void {
  const { length } = [...title.trim()]; // Code points, as the service counts: an emoji is one.
  if (length === 0) throw new ApiError("Enter a title.", 422);
  if (length > 200) {
    throw new ApiError(`A title can have at most 200 characters. This one has ${length}.`, 422);
  }
}

/** The task that a user wanted to change has been changed elsewhere. */
export class ConflictError extends ApiError {
  constructor(
    seen: Task,
    readonly current: Task,
  ) {
    const { title, description, completed } = current;
    const details = description === seen.description ? "" : `, with “${description ?? ""}”,`;
    const state = completed ? "done" : "not done";
    super(
      `This task was changed elsewhere. It now reads “${title}”${details} and is ${state}. Make your change again if you still want it.`,
      412,
    );
  }
}
