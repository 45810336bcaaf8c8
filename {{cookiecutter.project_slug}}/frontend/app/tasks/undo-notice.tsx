import { errorMessage } from "@/lib/api-errors";
import type { Task } from "@/lib/tasks";
import { Alert } from "../alert";
import { useCreateTask } from "./use-task-mutations";

/** Offers to create a deleted task again. */
export function UndoNotice({ task, onRestored }: { task: Task; onRestored: (task: Task) => void }) {
  const create = useCreateTask(onRestored);
  const { id, title, description, completed } = task;
  const handleUndo = () => create.mutate({ key: `"${id}"`, title, description, completed });
  return (
    <div className="notice">
      <span>Deleted “{title}”.</span>
      <button type="button" onClick={handleUndo}>
        Undo
      </button>
      <Alert>{errorMessage(create.error)}</Alert>
    </div>
  );
}
