import { errorMessage } from "@/lib/api-errors";
import type { Task } from "@/lib/tasks";
import { Alert } from "../alert";
import { useDeleteTask, useUpdateTask } from "./use-task-mutations";

export function TaskItem({
  task,
  onUpdated,
  onDeleted,
  onEdit,
}: {
  task: Task;
  onUpdated: (task: Task) => void;
  onDeleted: (task: Task) => void;
  onEdit: () => void;
}) {
  const update = useUpdateTask(task, onUpdated);
  const remove = useDeleteTask(task, onUpdated, onDeleted);
  const isPending = update.isPending || remove.isPending;
  // Show an update before the service has confirmed it.
  const shown = { ...task, ...(update.isPending && update.variables) };
  const { id, title, description, completed } = shown;

  function handleToggle() {
    if (isPending) return;
    remove.reset(); // Hides its error.
    update.mutate({ completed: !completed });
  }

  function handleDelete() {
    if (isPending) return;
    update.reset();
    remove.mutate();
  }

  return (
    <li aria-busy={isPending}>
      <label>
        <input
          id={`task-${id}`}
          type="checkbox"
          checked={completed}
          onChange={handleToggle}
          aria-describedby={`description-${id} error-${id}`}
        />
        <span>{title}</span>
      </label>
      <p id={`description-${id}`} className="description">
        {description}
      </p>
      <button id={`edit-${id}`} type="button" aria-label={`Edit ${title}`} onClick={onEdit}>
        Edit
      </button>
      <button type="button" aria-label={`Delete ${title}`} onClick={handleDelete}>
        Delete
      </button>
      <Alert id={`error-${id}`}>{errorMessage(update.error ?? remove.error)}</Alert>
    </li>
  );
}
