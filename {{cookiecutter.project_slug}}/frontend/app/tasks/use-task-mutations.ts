import { useMutation } from "@tanstack/react-query";
import { api } from "@/lib/api";
import { ApiError, isRetryable, retryDelay, unwrap } from "@/lib/api-errors";
import {
  ConflictError,
  type Task,
  type TaskCreate,
  type TaskUpdate,
  validateTitle,
} from "@/lib/tasks";

type TaskHandler = (task: Task) => void;

/** Creates a task. Attempts with the same idempotency key create only one. */
export const useCreateTask = (onCreated: TaskHandler) =>
  useMutation({
    mutationFn: async ({ key, ...body }: TaskCreate & { key: string }) => {
      validateTitle(body.title);
      const params = { header: { "Idempotency-Key": key } };
      return unwrap(api.POST("/api/v1/tasks", { params, body }));
    },
    retry: (failureCount, error) =>
      failureCount < 2 && isRetryable(error) && retryDelay(0, error) <= 5_000,
    onSuccess: onCreated,
  });

/** Updates a task. `onUpdated` gets the stored task, also if it was changed elsewhere instead. */
export const useUpdateTask = (task: Task, onUpdated: TaskHandler) =>
  useMutation({
    mutationFn: async (body: TaskUpdate) => {
      if (body.title !== undefined) validateTitle(body.title);
      try {
        return await unwrap(api.PATCH("/api/v1/tasks/{id}", { params: seenVersion(task), body }));
      } catch (cause) {
        const error = await findConflict(cause, task);
        // If the task has these values already, only the response to an earlier attempt was lost.
        if (error instanceof ConflictError && hasValues(error.current, body)) return error.current;
        throw error;
      }
    },
    onSuccess: onUpdated,
    onError: (error) => error instanceof ConflictError && onUpdated(error.current),
  });

/** Deletes a task. If it was changed elsewhere, calls `onUpdated` instead of `onDeleted`. */
export const useDeleteTask = (task: Task, onUpdated: TaskHandler, onDeleted: TaskHandler) =>
  useMutation({
    mutationFn: async () => {
      try {
        await unwrap(api.DELETE("/api/v1/tasks/{id}", { params: seenVersion(task) }));
      } catch (cause) {
        const isDeleted = cause instanceof ApiError && cause.status === 404;
        if (!isDeleted) throw await findConflict(cause, task);
      }
    },
    onSuccess: () => onDeleted(task),
    onError: (error) => error instanceof ConflictError && onUpdated(error.current),
  });

// Requests change only the version that the user saw: if there is a newer one, the response is 412.
// So they are not retried: if only a response was lost, the next one would be 412 or 404.
const seenVersion = ({ id, version }: Task) => ({
  path: { id },
  header: { "If-Match": `"${version}"` },
});

/** Returns a ConflictError with the current task if `cause` is a 412, otherwise `cause`. */
async function findConflict(cause: unknown, task: Task): Promise<unknown> {
  if (!(cause instanceof ApiError && cause.status === 412)) return cause;
  const params = { path: { id: task.id } };
  return new ConflictError(task, await unwrap(api.GET("/api/v1/tasks/{id}", { params })));
}

const hasValues = (task: Task, values: TaskUpdate) =>
  JSON.stringify({ ...task, ...values }) === JSON.stringify(task);
