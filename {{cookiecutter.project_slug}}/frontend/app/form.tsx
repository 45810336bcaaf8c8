"use client";

import {
  type ComponentProps,
  createContext,
  type FormEvent,
  type ReactNode,
  useContext,
  useId,
  useState,
  useTransition,
} from "react";
import type { Refusal } from "@/lib/problems";
import { useHydrated } from "./use-hydrated";

/** What a form's action found wrong, by field, or `notice` for what it did. Nothing if it leads on. */
export type Outcome = Refusal & { notice?: string };

const Refused = createContext<Refusal>({});

/** A form that keeps what was typed, shows problems at their fields, and moves the focus there. */
export function Form({
  action,
  button,
  working = "One moment…",
  className = "primary",
  children,
}: {
  /** Gets the fields' values by name. What it returns is shown. */
  action: (values: Record<string, string>) => Promise<Outcome | undefined>;
  button: string;
  working?: string;
  className?: "primary" | "danger" | "secondary";
  children?: ReactNode;
}) {
  const [outcome, setOutcome] = useState<Outcome>({});
  const [busy, startTransition] = useTransition();
  const hydrated = useHydrated();

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    if (busy) return;
    const form = event.currentTarget;
    const values = Object.fromEntries(new FormData(form)) as Record<string, string>;

    startTransition(async () => {
      const found = (await action(values)) ?? {};
      setOutcome(found);
      if (found.notice) form.reset();
      (form.elements.namedItem(Object.keys(found)[0] ?? "") as HTMLElement | null)?.focus();
    });
  }

  return (
    <Refused value={outcome}>
      <form method="post" noValidate onSubmit={submit}>
        {children}
        <p className="error" role="alert">
          {outcome.form}
        </p>
        <p className="notice" role="status">
          {outcome.notice}
        </p>
        <button type="submit" className={className} disabled={!hydrated} aria-disabled={busy}>
          {busy ? working : button}
        </button>
      </form>
    </Refused>
  );
}

/** An input with its label, hint and error, which screen readers announce together. */
export function Field({
  label,
  hint,
  error,
  ...input
}: { label: string; hint?: string; error?: string } & ComponentProps<"input">) {
  const id = useId();
  const refused = useContext(Refused);
  const problem = error ?? refused[input.name as keyof Refusal];
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        aria-invalid={problem !== undefined}
        aria-describedby={problem ? `${id}-error` : hint && `${id}-hint`}
        {...input}
      />
      {problem ? (
        <p id={`${id}-error`} className="error">
          {problem}
        </p>
      ) : (
        hint && (
          <p id={`${id}-hint`} className="hint">
            {hint}
          </p>
        )
      )}
    </div>
  );
}

/** For password managers, which want to know whose password it is. */
export function HiddenUsername({ email }: { email: string }) {
  return <input hidden readOnly autoComplete="username" value={email} />;
}
