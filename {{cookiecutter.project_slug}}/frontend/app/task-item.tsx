"use client";

import type { FormEvent } from "react";
import { inWords } from "@/lib/problems";
import type { Task, TaskChange } from "@/lib/tasks";
import { type List, useChangeTask } from "./use-tasks";

export function TaskItem({ task, list }: { task: Task; list: List }) {
  const change = useChangeTask(task, list);
  // Show the change before the service has confirmed it.
  const { id, title, description, completed } = {
    ...task,
    ...(change.isPending && change.variables),
  };
  const act = (body: TaskChange | null) => change.isPending || change.mutate(body);

  return (
    <li aria-busy={change.isPending}>
      <label>
        <input
          id={`task-${id}`}
          type="checkbox"
          checked={completed}
          onChange={() => act({ completed: !completed })}
          aria-describedby={`description-${id} problem-${id}`}
        />
        <span>{title}</span>
      </label>
      <p id={`description-${id}`} className="description">
        {description}
      </p>
      <button
        id={`edit-${id}`}
        type="button"
        aria-label={`Edit ${title}`}
        onClick={() => list.edit(task)}
      >
        Edit
      </button>
      <button type="button" aria-label={`Delete ${title}`} onClick={() => act(null)}>
        Delete
      </button>
      <Alert id={`problem-${id}`} error={change.error} />
    </li>
  );
}

const select = (input: HTMLInputElement | null) => input?.select();

/** Edits `task`, the version that the user saw, so that saving does not overwrite a newer one. */
export function TaskForm({ task, list }: { task: Task; list: List }) {
  const change = useChangeTask(task, list);
  const close = () => list.stopEditing(task);
  const problem = `problem-${task.id}`;

  function save(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    if (change.isPending) return;
    const { title = "", description } = Object.fromEntries(
      new FormData(event.currentTarget),
    ) as Record<string, string>;
    change.mutate({ title: title.trim(), description: description || null }, { onSuccess: close });
  }

  return (
    <li>
      <form
        method="post"
        noValidate
        aria-label={`Edit ${task.title}`}
        onSubmit={save}
        onKeyDown={({ key, nativeEvent }) =>
          key === "Escape" && !nativeEvent.isComposing && close()
        }
      >
        <label htmlFor={`title-${task.id}`}>Title</label>
        <input
          id={`title-${task.id}`}
          ref={select}
          name="title"
          defaultValue={task.title}
          aria-invalid={change.isError}
          aria-describedby={problem}
          autoComplete="off"
        />
        <label htmlFor={`description-${task.id}`}>Description</label>
        <textarea
          id={`description-${task.id}`}
          name="description"
          rows={3}
          defaultValue={task.description ?? ""}
          aria-describedby={problem}
        />
        <Alert id={problem} error={change.error} />
        <button type="submit" className="primary" aria-disabled={change.isPending}>
          {change.isPending ? "Saving…" : "Save"}
        </button>
        <button type="button" onClick={close}>
          Cancel
        </button>
      </form>
    </li>
  );
}

export function Alert({ id, error }: { id?: string; error: Error | null }) {
  return (
    <p id={id} className="error" role="alert">
      {error && inWords(error)}
    </p>
  );
}
