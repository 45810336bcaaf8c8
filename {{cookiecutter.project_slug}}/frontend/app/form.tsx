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
import type { FormErrors } from "@/lib/auth-errors";
import { Alert } from "./alert";
import { useHydrated } from "./use-hydrated";

/** Errors by field, or a notice of success. */
export type FormResult = FormErrors & { notice?: string };

const ErrorsContext = createContext<FormErrors>({});

/** A form that shows errors at their fields, focuses the first, and keeps what was typed. */
export function Form({
  action,
  submitLabel,
  pendingLabel = "Please wait…",
  className = "primary",
  children,
}: {
  /** Called with the values by field name. The form shows the result, if there is one. */
  action: (values: Record<string, string>) => Promise<FormResult | undefined>;
  submitLabel: string;
  pendingLabel?: string;
  className?: "primary" | "danger" | "secondary";
  children?: ReactNode;
}) {
  const [result, setResult] = useState<FormResult>({});
  const [isPending, startTransition] = useTransition();
  const hydrated = useHydrated();

  function handleSubmit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    if (isPending) return;
    const form = event.currentTarget;
    const values = Object.fromEntries(new FormData(form)) as Record<string, string>;

    startTransition(async () => {
      const result = (await action(values)) ?? {};
      setResult(result);
      if (result.notice) clearPasswords(form);
      const [firstField = ""] = Object.keys(result);
      (form.elements.namedItem(firstField) as HTMLElement | null)?.focus();
    });
  }

  return (
    <ErrorsContext value={result}>
      <form method="post" noValidate onSubmit={handleSubmit}>
        {children}
        <Alert>{result.form}</Alert>
        <p className="notice" role="status">
          {result.notice}
        </p>
        <button type="submit" className={className} disabled={!hydrated} aria-disabled={isPending}>
          {isPending ? pendingLabel : submitLabel}
        </button>
      </form>
    </ErrorsContext>
  );
}

function clearPasswords(form: HTMLFormElement) {
  for (const input of form.querySelectorAll<HTMLInputElement>('[type="password"]')) {
    input.value = "";
  }
}

/** An input with its label, and a hint or an error that screen readers announce with it. */
export function Field({
  label,
  hint,
  error,
  ...input
}: { label: string; hint?: string; error?: string } & ComponentProps<"input">) {
  const id = useId();
  const errors = useContext(ErrorsContext);
  const message = error ?? errors[input.name as keyof FormErrors];
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        aria-invalid={message !== undefined}
        aria-describedby={message ? `${id}-error` : hint && `${id}-hint`}
        {...input}
      />
      {message ? (
        <p id={`${id}-error`} className="error">
          {message}
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
