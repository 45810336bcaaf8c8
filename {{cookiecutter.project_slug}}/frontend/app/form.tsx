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

/** The errors of a form's action, by field, or its success as `notice`. */
export type Outcome = Refusal & { notice?: string };

const Refused = createContext<Refusal>({});

/** A form that shows errors at their fields, focuses the first, and keeps what was typed. */
export function Form({
  action,
  button,
  working = "Please wait…",
  className = "primary",
  children,
}: {
  /** Called with the values by field name. The form shows what it returns, if anything. */
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
      if (found.notice) clearPasswords(form);
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

function clearPasswords(form: HTMLFormElement) {
  for (const input of form.querySelectorAll<HTMLInputElement>('[type="password"]'))
    input.value = "";
}

/** An input with its label, and a hint or an error that screen readers announce with it. */
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

/** Tells password managers which account the password belongs to. */
export function HiddenUsername({ email }: { email: string }) {
  return <input hidden readOnly autoComplete="username" value={email} />;
}
