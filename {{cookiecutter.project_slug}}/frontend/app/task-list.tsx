"use client";

import { type FormEvent, useEffect, useRef, useState, useTransition } from "react";
import { flushSync } from "react-dom";
import { answer, api, type NewTask, newKey, type Task } from "@/lib/api";
import { inWords, Problem, titleProblem } from "@/lib/problems";
import { TaskItem } from "./task-item";
import { useHydrated } from "./use-hydrated";

const page = (cursor?: string) =>
  answer(api.GET("/api/v1/tasks", { params: { query: { limit: 20, cursor } } }));

const focusTask = (task?: Task) => document.getElementById(`task-${task?.id}`)?.focus();

export function TaskList() {
  const [tasks, setTasks] = useState<Task[]>(); // Undefined until the service has answered once.
  const [cursor, setCursor] = useState<string | null>(null);
  const [attempt, setAttempt] = useState(0);
  const [failure, setFailure] = useState<{ words: string; isPassing: boolean }>();
  const [addProblem, setAddProblem] = useState<string>();
  const [moreProblem, setMoreProblem] = useState<string>();
  const [deleted, setDeleted] = useState<Task>();
  const [status, setStatus] = useState("");
  const [adding, startAdding] = useTransition();
  const [loadingMore, startLoadingMore] = useTransition();
  const input = useRef<HTMLInputElement>(null);
  const unanswered = useRef<{ title: string; key: string }>(undefined);
  const hydrated = useHydrated();

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    let outdated = false;
    const tryAgain = () => setAttempt(attempt + 1);
    page().then(
      (first) => {
        if (outdated) return;
        setTasks(first.items);
        setCursor(first.next_cursor);
        setFailure(undefined);
      },
      (error) => {
        if (outdated) return;
        const isPassing = error instanceof Problem && error.isPassing;
        setFailure({ words: inWords(error), isPassing });
        if (!isPassing) return;
        const seconds = Math.max(Math.min(2 ** attempt, 30), error.retryAfterSeconds ?? 0);
        timer = setTimeout(tryAgain, seconds * 1000);
        window.addEventListener("online", tryAgain);
      },
    );
    return () => {
      outdated = true;
      clearTimeout(timer);
      window.removeEventListener("online", tryAgain);
    };
  }, [attempt]);

  /** Creates one task, even if it is called several times with the same key. */
  async function create(body: NewTask, key: string) {
    const params = { header: { "Idempotency-Key": key } };
    const created = await answer(api.POST("/api/v1/tasks", { params, body }));
    setStatus(`Added “${created.title}”.`);
    setDeleted(undefined);
    // A first page still on its way may be older than this task.
    if (!tasks) setAttempt(attempt + 1);
    flushSync(() =>
      setTasks((known) => known && [created, ...known.filter(({ id }) => id !== created.id)]),
    );
    return created;
  }

  function add(event: FormEvent) {
    event.preventDefault();
    const field = input.current;
    if (!field || adding) return;
    const typed = field.value;
    const wrong = titleProblem(typed);
    setAddProblem(wrong);
    field.focus();
    if (wrong) return;
    const title = typed.trim();
    // After an error, the same title means the same task, which may exist already.
    if (unanswered.current?.title !== title) unanswered.current = { title, key: newKey() };
    const { key } = unanswered.current;
    startAdding(async () => {
      try {
        await create({ title }, key);
        unanswered.current = undefined;
        if (field.value === typed) field.value = ""; // Else the next one is being typed already.
      } catch (error) {
        setAddProblem(inWords(error));
      }
    });
  }

  async function undo({ id, title, description, completed }: Task) {
    try {
      focusTask(await create({ title, description, completed }, `"${id}"`));
    } catch (error) {
      setAddProblem(inWords(error));
    }
  }

  function remove(task: Task) {
    const index = tasks?.indexOf(task) ?? 0;
    const next = tasks?.[index + 1] ?? tasks?.[index - 1];
    flushSync(() => setTasks((known) => known?.filter(({ id }) => id !== task.id)));
    setDeleted(task);
    setStatus(`Deleted “${task.title}”.`);
    if (next) focusTask(next);
    else input.current?.focus();
  }

  const replace = (task: Task) =>
    setTasks((known) => known?.map((old) => (old.id === task.id ? task : old)));

  function loadMore() {
    if (loadingMore) return;
    startLoadingMore(async () => {
      try {
        const more = await page(cursor ?? undefined);
        flushSync(() => {
          setTasks((known) => [...(known ?? []), ...more.items]);
          setCursor(more.next_cursor);
          setMoreProblem(undefined);
          setStatus(`${more.items.length} more tasks.`);
        });
        focusTask(more.items[0]);
      } catch (error) {
        setMoreProblem(inWords(error));
      }
    });
  }

  return (
    <>
      <h1>Tasks</h1>
      <form method="post" noValidate className="add" onSubmit={add}>
        <label htmlFor="new-task" className="unseen">
          New task
        </label>
        <input
          id="new-task"
          ref={input}
          placeholder="What needs doing?"
          autoComplete="off"
          aria-invalid={addProblem !== undefined}
          aria-describedby="new-task-problem"
        />
        <button type="submit" className="primary" disabled={!hydrated} aria-disabled={adding}>
          {adding ? "Adding…" : "Add"}
        </button>
        <p id="new-task-problem" className="error" role="alert">
          {addProblem}
        </p>
      </form>

      <p className="unseen" role="status">
        {status}
      </p>
      {deleted && (
        <p className="notice">
          <span>Deleted “{deleted.title}”.</span>
          <button type="button" onClick={() => undo(deleted)}>
            Undo
          </button>
        </p>
      )}

      {failure ? (
        <div className="empty">
          <p role="alert">{failure.words}</p>
          {failure.isPassing && <p className="hint">This page keeps trying.</p>}
          <button type="button" onClick={() => setAttempt(attempt + 1)}>
            Try again now
          </button>
        </div>
      ) : !tasks ? (
        <p className="more">Loading your tasks…</p>
      ) : tasks.length === 0 && !cursor ? (
        <div className="empty">
          <p>All clear: nothing to do.</p>
          <p className="hint">Write your first task above and press Enter.</p>
        </div>
      ) : (
        <ul className="tasks">
          {tasks.map((task) => (
            <TaskItem key={task.id} task={task} onChange={replace} onDelete={remove} />
          ))}
        </ul>
      )}

      {tasks && cursor && !failure && (
        <div className="more">
          <p className="error" role="alert">
            {moreProblem}
          </p>
          <button type="button" onClick={loadMore} aria-disabled={loadingMore}>
            {loadingMore ? "Loading…" : "Load more"}
          </button>
        </div>
      )}
    </>
  );
}
