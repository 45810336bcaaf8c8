import type { FormEvent } from "react";
import { errorMessage } from "@/lib/api-errors";
import type { Task } from "@/lib/tasks";
import { Alert } from "../alert";
import { useUpdateTask } from "./use-task-mutations";

const select = (input: HTMLInputElement | null) => input?.select(); // Focuses it, too.

/** Edits a task. `task` is the version that the user saw, so saving never overwrites a newer one. */
export function TaskForm({
  task,
  onUpdated,
  onClose,
}: {
  task: Task;
  onUpdated: (task: Task) => void;
  onClose: () => void;
}) {
  const update = useUpdateTask(task, onUpdated);
  const { id, title, description } = task;

  function handleSubmit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    if (update.isPending) return;
    const values = new FormData(event.currentTarget);
    const title = `${values.get("title")}`.trim();
    const description = `${values.get("description")}` || null;
    update.mutate({ title, description }, { onSuccess: onClose });
  }

  return (
    <li>
      <form
        method="post"
        noValidate
        aria-label={`Edit ${title}`}
        onSubmit={handleSubmit}
        onKeyDown={({ key, nativeEvent }) =>
          key === "Escape" && !nativeEvent.isComposing && onClose()
        }
      >
        <label htmlFor={`title-${id}`}>Title</label>
        <input
          id={`title-${id}`}
          ref={select}
          name="title"
          defaultValue={title}
          aria-invalid={update.isError}
          aria-describedby={`error-${id}`}
          autoComplete="off"
        />
        <label htmlFor={`description-${id}`}>Description</label>
        <textarea
          id={`description-${id}`}
          name="description"
          rows={3}
          defaultValue={description ?? ""}
          aria-describedby={`error-${id}`}
        />
        <Alert id={`error-${id}`}>{errorMessage(update.error)}</Alert>
        <button type="submit" className="primary" aria-disabled={update.isPending}>
          {update.isPending ? "Saving…" : "Save"}
        </button>
        <button type="button" onClick={onClose}>
          Cancel
        </button>
      </form>
    </li>
  );
}
