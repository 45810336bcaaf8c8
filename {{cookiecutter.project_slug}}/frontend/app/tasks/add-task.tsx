import { type FormEvent, useRef } from "react";
import { newIdempotencyKey } from "@/lib/api";
import { errorMessage } from "@/lib/api-errors";
import type { Task } from "@/lib/tasks";
import { Alert } from "../alert";
import { useHydrated } from "../use-hydrated";
import { useCreateTask } from "./use-task-mutations";

export function AddTask({ onCreated }: { onCreated: (task: Task) => void }) {
  const create = useCreateTask(onCreated);
  const hydrated = useHydrated();
  const lastAttempt = useRef<{ title: string; key: string }>(undefined);

  function handleSubmit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    if (create.isPending) return;
    const input = event.currentTarget.elements.namedItem("title") as HTMLInputElement;
    const typed = input.value;
    const title = typed.trim();
    // The task may exist even after an error, so the same title gets the same key.
    if (lastAttempt.current?.title !== title) {
      lastAttempt.current = { title, key: newIdempotencyKey() };
    }
    input.focus();
    create.mutate(lastAttempt.current, {
      onSuccess() {
        lastAttempt.current = undefined;
        if (input.value === typed) input.value = ""; // Otherwise, it is already the next title.
      },
    });
  }

  return (
    <form method="post" noValidate className="add-task" onSubmit={handleSubmit}>
      <label htmlFor="new-task" className="visually-hidden">
        New task
      </label>
      <input
        id="new-task"
        name="title"
        placeholder="What needs doing?"
        autoComplete="off"
        aria-invalid={create.isError}
        aria-describedby="new-task-error"
      />
      <button
        type="submit"
        className="primary"
        disabled={!hydrated}
        aria-disabled={create.isPending}
      >
        {create.isPending ? "Adding…" : "Add"}
      </button>
      <Alert id="new-task-error">{errorMessage(create.error)}</Alert>
    </form>
  );
}
