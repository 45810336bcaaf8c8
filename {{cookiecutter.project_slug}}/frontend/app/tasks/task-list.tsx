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
  const options = taskListOptions(api, filter);
  const query = useInfiniteQuery({
    ...options,
    select: ({ pages }) => pages.flatMap(({ items }) => items),
  });
  const { data: fetched = [], failureReason, isFetchingNextPage } = query;
  const queryClient = useQueryClient();
  const [editing, setEditing] = useState<Task[]>([]); // Snapshots of the tasks being edited.
  const [deleted, setDeleted] = useState<Task>();
  const [status, setStatus] = useState("");
  const [isRetrying, startRetry] = useTransition();
  const hydrated = useHydrated();
  const focus = useFocus();

  // An open form stays even if its task is no longer in the list.
  const byId = new Map([...fetched, ...editing].map((task) => [task.id, task]));
  // UUIDv7 ids sort by creation time; newest first.
  const tasks = [...byId.values()].sort((a, b) => (a.id < b.id ? 1 : -1));

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
    setEditing((editing) => editing.map((old) => (old.id === task.id ? task : old)));
    if (!matchesFilter(task, filter)) moveFocusFrom(task);
  }

  function handleDeleted(task: Task) {
    setStatus(`Deleted “${task.title}”.`);
    setDeleted(task);
    moveFocusFrom(task);
  }

  function handleClose({ id }: Task) {
    setEditing((editing) => editing.filter((task) => task.id !== id));
    focus(`edit-${id}`);
  }

  async function handleLoadMore() {
    if (isFetchingNextPage) return;
    const { data } = await query.fetchNextPage();
    const added = data?.slice(fetched.length) ?? [];
    if (!added[0]) return; // The request failed, or the list was refetched in the meantime.
    setStatus(`Loaded ${added.length} more ${added.length === 1 ? "task" : "tasks"}.`);
    focus(`task-${added[0].id}`);
  }

  const handleRetry = () =>
    startRetry(async () => {
      const retry = isFetchingNextPage ? query.fetchNextPage : query.refetch;
      // Cancel the scheduled automatic retry, so this one starts now.
      await queryClient.cancelQueries({ queryKey: options.queryKey });
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
            editing.includes(task) ? (
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
                onEdit={() => setEditing([...editing, task])}
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

/**
 * If a task that is about to leave the list has the focus, moves the focus to the next task.
 *
 * Uses the DOM, because only the DOM knows which element has the focus.
 */
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
