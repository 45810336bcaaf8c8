"use client";

import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState, useTransition } from "react";
import { answer, api } from "@/lib/api";
import { isPassing, Problem, retryDelay, titleProblem } from "@/lib/problems";
import { type NewTask, type Show, type Task, type TaskChange, tasksQuery } from "@/lib/tasks";

export type List = ReturnType<typeof useTasks>;

/** Returns the tasks that `show` selects, with functions for the user's actions. */
export function useTasks(show: Show) {
  const query = useInfiniteQuery(tasksQuery(api, show));
  const queries = useQueryClient();
  const [edited, setEdited] = useState<Task[]>([]); // As they were when their forms were opened.
  const [deleted, setDeleted] = useState<Task>();
  const [status, setStatus] = useState("");
  const [retrying, startRetrying] = useTransition();
  const focus = useFocus();

  const isOther = (task: Task) => (other: Task) => other.id !== task.id;
  const isHidden = ({ completed }: Task) => show !== "all" && completed !== (show === "done");

  const fetched = query.data?.pages.flatMap(({ items }) => items) ?? [];
  // An open form keeps its text even if its task is no longer in the list.
  const tasks = [...edited, ...fetched.filter((task) => edited.every(isOther(task)))];
  tasks.sort((a, b) => (a.id < b.id ? 1 : -1)); // Newest first, as the service sorts them.

  function created(task: Task) {
    setStatus(`Added “${task.title}”.`);
    setDeleted(undefined);
    if (isHidden(task)) window.history.pushState(null, "", "/");
  }

  function restored(task: Task) {
    created(task);
    focus(`task-${task.id}`);
  }

  function changed(task: Task) {
    setEdited((known) => known.map((old) => (old.id === task.id ? task : old)));
    if (isHidden(task)) leave(task);
  }

  function removed(task: Task) {
    setStatus(`Deleted “${task.title}”.`);
    setDeleted(task);
    leave(task);
  }

  /** If the focus is on a task that is about to leave the list, moves it to the next task. */
  function leave({ id }: Task) {
    const row = document.getElementById(`task-${id}`)?.closest("li:focus-within");
    const next = row?.nextElementSibling ?? row?.previousElementSibling;
    if (row) focus(next?.querySelector("input")?.id ?? "new-task");
  }

  const edit = (task: Task) => setEdited([...edited, task]);

  function stopEditing(task: Task) {
    setEdited((known) => known.filter(isOther(task)));
    focus(`edit-${task.id}`);
  }

  async function loadMore() {
    const known = query.data?.pages.length ?? 0;
    const { data } = await query.fetchNextPage();
    const added = data?.pages[known]?.items;
    if (!added) return; // The list was refetched in the meantime.
    setStatus(`${added.length} more tasks.`);
    focus(`task-${added[0]?.id}`);
  }

  const retry = () =>
    startRetrying(async () => {
      const again = query.isFetchingNextPage ? query.fetchNextPage : query.refetch;
      await queries.cancelQueries(); // Otherwise it would wait for the pending retry.
      await again();
    });

  return {
    query,
    tasks,
    edited,
    edit,
    stopEditing,
    deleted,
    status,
    created,
    restored,
    changed,
    removed,
    loadMore,
    retry,
    retrying,
  };
}

/** Creates one task for each key, no matter how often it is called. */
export function useCreateTask(onCreated: (task: Task) => void) {
  return useMutation({
    async mutationFn({ key, ...body }: NewTask & { key: string }) {
      checkTitle(body.title);
      const params = { header: { "Idempotency-Key": key } };
      return answer(api.POST("/api/v1/tasks", { params, body }));
    },
    retry: (failures, error) => failures < 2 && isPassing(error) && retryDelay(0, error) <= 5_000,
    onSuccess: onCreated,
  });
}

/** Changes a task. If the change is `null`, deletes it. */
export function useChangeTask(task: Task, { changed, removed }: List) {
  const queries = useQueryClient();
  const path = { id: task.id };
  // Change only the version that this user saw. If there is a newer one, the response is 412.
  const params = { path, header: { "If-Match": `"${task.version}"` } };

  /** After a 412, throws unless the change is stored already, because a response was lost. */
  async function compare(change: TaskChange | null, { message }: Problem) {
    const now = await answer(api.GET("/api/v1/tasks/{id}", { params: { path } }));
    changed(now);
    queries.invalidateQueries();
    if (change && JSON.stringify({ ...now, ...change }) === JSON.stringify(now)) return;
    const state = now.completed ? "done" : "not done";
    const text = now.description !== task.description ? `, with “${now.description ?? ""}”,` : "";
    const words = `It now reads “${now.title}”${text} and is ${state}. Make your change again if you still want it.`;
    throw new Problem(`${message} ${words}`, 412);
  }

  return useMutation({
    // No retries: if only the response was lost, a retry would return 412 or 404.
    async mutationFn(change: TaskChange | null) {
      try {
        if (change?.title !== undefined) checkTitle(change.title);
        if (!change) await answer(api.DELETE("/api/v1/tasks/{id}", { params }));
        else changed(await answer(api.PATCH("/api/v1/tasks/{id}", { params, body: change })));
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (error.status === 412) await compare(change, error);
        // Already deleted is fine: that is what the user wanted.
        else if (error.status !== 404 || change) throw error;
      }
      if (!change) removed(task);
    },
  });
}

function checkTitle(title: string) {
  const wrong = titleProblem(title);
  if (wrong) throw new Problem(wrong, 422);
}

/** Returns a function that moves the focus to the element with this id once it is rendered. */
function useFocus() {
  const wanted = useRef("");
  useEffect(() => {
    const element = document.getElementById(wanted.current);
    if (!element) return;
    element.focus();
    wanted.current = "";
  });
  return (id: string) => {
    wanted.current = id;
  };
}
