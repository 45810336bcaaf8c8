"use client";

import { type FormEvent, useOptimistic, useRef, useState, useTransition } from "react";
import { flushSync } from "react-dom";
import { answer, api, type Task } from "@/lib/api";
import { inWords, Problem, titleProblem } from "@/lib/problems";

type Change = Partial<Pick<Task, "title" | "completed">>;

const select = (input: HTMLInputElement | null) => input?.select();

export function TaskItem({
  task,
  onChange,
  onDelete,
}: {
  task: Task;
  onChange: (task: Task) => void;
  onDelete: (task: Task) => void;
}) {
  const [renaming, setRenaming] = useState(false);
  const [problem, setProblem] = useState<string>();
  const [completed, setCompleted] = useOptimistic(task.completed);
  const [busy, startTransition] = useTransition();
  const renameButton = useRef<HTMLButtonElement>(null);

  const path = { id: task.id };
  // Change only the version that this person saw. If there is a newer one, the response is 412.
  const seen = { path, header: { "If-Match": `"${task.version}"` } };

  function act(work: () => Promise<void>) {
    if (busy) return;
    startTransition(async () => {
      try {
        await work();
        setProblem(undefined);
      } catch (error) {
        setProblem(inWords(error));
      }
    });
  }

  /** After a 412, shows the task as it is now, and throws unless it matches `wanted`. */
  async function compare(error: unknown, wanted?: Change) {
    if (!(error instanceof Problem) || error.status !== 412) throw error;
    const now = await answer(api.GET("/api/v1/tasks/{id}", { params: { path } }));
    onChange(now);
    const entries = Object.entries(wanted ?? {}) as [keyof Change, unknown][];
    // The response to an earlier request for the same change may have been lost.
    if (wanted && entries.every(([name, value]) => now[name] === value)) return;
    const state = now.completed ? "done" : "not done";
    const words = `It now reads “${now.title}” and is ${state}. Make your change again if you still want it.`;
    throw new Problem(`${error.message} ${words}`, error.status);
  }

  const change = (body: Change) =>
    answer(api.PATCH("/api/v1/tasks/{id}", { params: seen, body })).then(onChange, (error) =>
      compare(error, body),
    );

  const toggle = () =>
    act(async () => {
      setCompleted(!task.completed);
      await change({ completed: !task.completed });
    });

  const remove = () =>
    act(async () => {
      try {
        await answer(api.DELETE("/api/v1/tasks/{id}", { params: seen }));
      } catch (error) {
        // Already deleted is fine: that is what the user wanted.
        if (!(error instanceof Problem) || error.status !== 404) await compare(error);
      }
      onDelete(task);
    });

  function rename(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const title = String(new FormData(event.currentTarget).get("title"));
    const wrong = titleProblem(title);
    if (wrong) return setProblem(wrong);
    act(async () => {
      await change({ title: title.trim() });
      stopRenaming();
    });
  }

  function stopRenaming() {
    flushSync(() => {
      setRenaming(false);
      setProblem(undefined);
    });
    renameButton.current?.focus();
  }

  return (
    <li aria-busy={busy}>
      {renaming ? (
        <form
          method="post"
          noValidate
          onSubmit={rename}
          onKeyDown={(event) => event.key === "Escape" && stopRenaming()}
        >
          <input
            ref={select}
            name="title"
            defaultValue={task.title}
            aria-label={`New title of ${task.title}`}
            aria-invalid={problem !== undefined}
            aria-describedby={`problem-${task.id}`}
            autoComplete="off"
          />
          <button type="submit" className="primary" aria-disabled={busy}>
            {busy ? "Saving…" : "Save"}
          </button>
          <button type="button" onClick={stopRenaming}>
            Cancel
          </button>
        </form>
      ) : (
        <>
          <label>
            <input
              id={`task-${task.id}`}
              type="checkbox"
              checked={completed}
              onChange={toggle}
              aria-describedby={`problem-${task.id}`}
            />
            <span>
              {task.title}
              {task.description && <small>{task.description}</small>}
            </span>
          </label>
          <button
            ref={renameButton}
            type="button"
            aria-label={`Rename ${task.title}`}
            onClick={() => setRenaming(true)}
          >
            Rename
          </button>
          <button type="button" aria-label={`Delete ${task.title}`} onClick={remove}>
            Delete
          </button>
        </>
      )}
      <p id={`problem-${task.id}`} className="error" role="alert">
        {problem}
      </p>
    </li>
  );
}
