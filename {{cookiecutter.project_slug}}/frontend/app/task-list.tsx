"use client";

import Link from "next/link";
import { useSearchParams } from "next/navigation";
import { type FormEvent, useRef } from "react";
import { newKey } from "@/lib/api";
import { isPassing } from "@/lib/problems";
import { type Show, type Task, toShow } from "@/lib/tasks";
import { Alert, TaskForm, TaskItem } from "./task-item";
import { useHydrated } from "./use-hydrated";
import { type List, useCreateTask, useTasks } from "./use-tasks";

export function TaskList() {
  const show = toShow(useSearchParams().get("show"));
  const list = useTasks(show);
  const hydrated = useHydrated();
  const { isSuccess, hasNextPage, isFetchingNextPage, failureReason } = list.query;

  return (
    <>
      <h1>Tasks</h1>
      <AddTask list={list} />
      <nav aria-label="Show" className="filter">
        {(["all", "open", "done"] as const).map((filter) => (
          <FilterLink key={filter} filter={filter} isCurrent={filter === show} />
        ))}
      </nav>
      <p className="unseen" role="status">
        {list.status}
      </p>
      {list.deleted && <Undo key={list.deleted.id} task={list.deleted} list={list} />}

      <fieldset disabled={!hydrated}>
        <ul className="tasks">
          {list.tasks.map((task) => {
            const Row = list.edited.includes(task) ? TaskForm : TaskItem;
            return <Row key={task.id} task={task} list={list} />;
          })}
        </ul>
      </fieldset>
      {failureReason || list.retrying ? (
        <div className="empty">
          <Alert error={failureReason} />
          {isPassing(failureReason) && <p className="hint">This page keeps trying.</p>}
          <button type="button" onClick={list.retry}>
            Try again now
          </button>
        </div>
      ) : !isSuccess ? (
        <p className="more">Loading your tasks…</p>
      ) : list.tasks.length > 0 ? null : show === "done" ? (
        <p className="empty">No tasks are done yet.</p>
      ) : (
        <div className="empty">
          <p>All clear: nothing to do.</p>
          <p className="hint">Write a task above and press Enter.</p>
        </div>
      )}
      {hasNextPage && (
        <p className="more">
          <button
            type="button"
            onClick={() => isFetchingNextPage || list.loadMore()}
            aria-disabled={isFetchingNextPage}
          >
            {isFetchingNextPage ? "Loading…" : "Load more"}
          </button>
        </p>
      )}
    </>
  );
}

function FilterLink({ filter, isCurrent }: { filter: Show; isCurrent: boolean }) {
  const href = filter === "all" ? "/" : `/?show=${filter}`;
  return (
    <Link
      href={href}
      prefetch={false}
      aria-current={isCurrent ? "page" : undefined}
      onNavigate={(event) => {
        event.preventDefault(); // Do not load a page: typed text stays.
        window.history.pushState(null, "", href);
      }}
    >
      {filter}
    </Link>
  );
}

function AddTask({ list }: { list: List }) {
  const create = useCreateTask(list.created);
  const hydrated = useHydrated();
  const unanswered = useRef<{ title: string; key: string }>(undefined);

  function add(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    if (create.isPending) return;
    const field = event.currentTarget.elements.namedItem("title") as HTMLInputElement;
    const typed = field.value;
    const title = typed.trim();
    // After an error, the same title means the same task, which may exist already.
    if (unanswered.current?.title !== title) unanswered.current = { title, key: newKey() };
    field.focus();
    create.mutate(unanswered.current, {
      onSuccess() {
        unanswered.current = undefined;
        if (field.value === typed) field.value = ""; // Otherwise it is the next title.
      },
    });
  }

  return (
    <form method="post" noValidate className="add" onSubmit={add}>
      <label htmlFor="new-task" className="unseen">
        New task
      </label>
      <input
        id="new-task"
        name="title"
        placeholder="What needs doing?"
        autoComplete="off"
        aria-invalid={create.isError}
        aria-describedby="new-task-problem"
      />
      <button
        type="submit"
        className="primary"
        disabled={!hydrated}
        aria-disabled={create.isPending}
      >
        {create.isPending ? "Adding…" : "Add"}
      </button>
      <Alert id="new-task-problem" error={create.error} />
    </form>
  );
}

function Undo({ task, list }: { task: Task; list: List }) {
  const create = useCreateTask(list.restored);
  const { id, title, description, completed } = task;
  const undo = () => create.mutate({ key: `"${id}"`, title, description, completed });
  return (
    <div className="notice">
      <span>Deleted “{title}”.</span>
      <button type="button" onClick={undo}>
        Undo
      </button>
      <Alert error={create.error} />
    </div>
  );
}
