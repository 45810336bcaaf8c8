"use client";

import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useSearchParams } from "next/navigation";
import { useState, useTransition } from "react";
import { api } from "@/lib/api";
import { errorMessage, isRetryable } from "@/lib/api-errors";
import {
  matchesFilter,
  parseFilter,
  type Task,
  type TaskFilter,
  taskListOptions,
} from "@/lib/tasks";
import { Alert } from "../alert";
import { useHydrated } from "../use-hydrated";
import { AddTask } from "./add-task";
import { FilterNav } from "./filter-nav";
import { TaskForm } from "./task-form";
import { TaskItem } from "./task-item";
import { UndoNotice } from "./undo-notice";
import { useFocus } from "./use-focus";

export function TaskList() {
  const filter = parseFilter(useSearchParams().get("show"));
  const query = useInfiniteQuery({
    ...taskListOptions(api, filter),
    select: ({ pages }) => pages.flatMap(({ items }) => items),
  });
  const { data: fetched = [], failureReason, isFetchingNextPage } = query;
  const queryClient = useQueryClient();
  const [edited, setEdited] = useState<Task[]>([]); // As they were when their forms were opened.
  const [deleted, setDeleted] = useState<Task>();
  const [status, setStatus] = useState("");
  const [isRetrying, startRetry] = useTransition();
  const hydrated = useHydrated();
  const focus = useFocus();

  // An open form stays even if its task is no longer in the list.
  const byId = new Map([...fetched, ...edited].map((task) => [task.id, task]));
  const tasks = [...byId.values()].sort((a, b) => (a.id < b.id ? 1 : -1)); // Newest first.

  function handleCreated(task: Task) {
    setStatus(`Added “${task.title}”.`);
    setDeleted(undefined);
    if (!matchesFilter(task, filter)) window.history.pushState(null, "", "/");
  }

  function handleRestored(task: Task) {
    handleCreated(task);
    focus(`task-${task.id}`);
  }

  function handleUpdated(task: Task) {
    setEdited((edited) => edited.map((old) => (old.id === task.id ? task : old)));
    if (!matchesFilter(task, filter)) moveFocusFrom(task);
  }

  function handleDeleted(task: Task) {
    setStatus(`Deleted “${task.title}”.`);
    setDeleted(task);
    moveFocusFrom(task);
  }

  function handleClose({ id }: Task) {
    setEdited((edited) => edited.filter((task) => task.id !== id));
    focus(`edit-${id}`);
  }

  async function handleLoadMore() {
    if (isFetchingNextPage) return;
    const { data } = await query.fetchNextPage();
    const [first, ...others] = data?.slice(fetched.length) ?? [];
    if (!first) return; // The request failed, or the list was refetched in the meantime.
    setStatus(`${others.length + 1} more tasks.`);
    focus(`task-${first.id}`);
  }

  const handleRetry = () =>
    startRetry(async () => {
      const retry = isFetchingNextPage ? query.fetchNextPage : query.refetch;
      await queryClient.cancelQueries(); // Otherwise, it would wait for the scheduled retry.
      await retry();
    });

  return (
    <>
      <h1>Tasks</h1>
      <AddTask onCreated={handleCreated} />
      <FilterNav current={filter} />
      <p className="visually-hidden" role="status">
        {status}
      </p>
      {deleted && <UndoNotice key={deleted.id} task={deleted} onRestored={handleRestored} />}
      <fieldset disabled={!hydrated}>
        <ul className="tasks">
          {tasks.map((task) =>
            edited.includes(task) ? (
              <TaskForm
                key={task.id}
                task={task}
                onUpdated={handleUpdated}
                onClose={() => handleClose(task)}
              />
            ) : (
              <TaskItem
                key={task.id}
                task={task}
                onUpdated={handleUpdated}
                onDeleted={handleDeleted}
                onEdit={() => setEdited([...edited, task])}
              />
            ),
          )}
        </ul>
      </fieldset>
      {failureReason || isRetrying ? (
        <LoadError error={failureReason} onRetry={handleRetry} />
      ) : query.isPending ? (
        <p className="centered">Loading your tasks…</p>
      ) : (
        tasks.length === 0 && <EmptyList filter={filter} />
      )}
      {query.hasNextPage && (
        <p className="centered">
          <button type="button" onClick={handleLoadMore} aria-disabled={isFetchingNextPage}>
            {isFetchingNextPage ? "Loading…" : "Load more"}
          </button>
        </p>
      )}
    </>
  );
}

/** If the focus is on a task that is about to leave the list, moves it to the next task. */
function moveFocusFrom(task: Task) {
  const row = document.getElementById(`task-${task.id}`)?.closest("li:focus-within");
  if (!row) return;
  const next = row.nextElementSibling ?? row.previousElementSibling;
  (next?.querySelector("input") ?? document.getElementById("new-task"))?.focus();
}

function LoadError({ error, onRetry }: { error: Error | null; onRetry: () => void }) {
  return (
    <div className="empty-state">
      <Alert>{errorMessage(error)}</Alert>
      {isRetryable(error) && <p className="hint">This page retries automatically.</p>}
      <button type="button" onClick={onRetry}>
        Try again now
      </button>
    </div>
  );
}

function EmptyList({ filter }: { filter: TaskFilter }) {
  if (filter === "done") return <p className="empty-state">No tasks are done yet.</p>;
  return (
    <div className="empty-state">
      <p>All clear: nothing to do.</p>
      <p className="hint">Write a task above and press Enter.</p>
    </div>
  );
}
