"use client";

import { type FormEvent, useState, useTransition } from "react";
import { authClient } from "@/lib/auth-client";
import { type Refusal, refusal } from "@/lib/problems";
import { Field } from "./field";
import { useHydrated } from "./use-hydrated";

export function CredentialsForm({ purpose }: { purpose: "sign-in" | "sign-up" }) {
  const [refused, setRefused] = useState<Refusal>({});
  const [busy, startTransition] = useTransition();
  const hydrated = useHydrated();
  const isNew = purpose === "sign-up";

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    if (busy) return;
    const form = event.currentTarget;
    const typed = Object.fromEntries(new FormData(form)) as Record<keyof Refusal, string>;
    const [name, email, password] = [typed.name?.trim(), typed.email.trim(), typed.password];

    startTransition(async () => {
      const found =
        missing({ name: isNew ? name : "-", email, password }) ??
        (await refusal(
          isNew
            ? authClient.signUp.email({ name, email, password })
            : authClient.signIn.email({ email, password }),
        ));
      // A new page, not a soft navigation: nothing of an earlier person is left in memory.
      if (!found) return new Promise(() => location.assign("/"));
      setRefused(found);
      (form.elements.namedItem(Object.keys(found)[0] ?? "") as HTMLElement | null)?.focus();
    });
  }

  return (
    <form method="post" noValidate onSubmit={submit}>
      {isNew && <Field label="Name" name="name" autoComplete="name" error={refused.name} />}
      <Field
        label="E-mail"
        name="email"
        type="email"
        autoComplete="username"
        spellCheck={false}
        error={refused.email}
      />
      <Field
        label="Password"
        name="password"
        type="password"
        autoComplete={isNew ? "new-password" : "current-password"}
        hint={isNew ? "At least 8 characters." : undefined}
        error={refused.password}
      />
      <p className="error" role="alert">
        {refused.form}
      </p>
      <button type="submit" className="primary" disabled={!hydrated} aria-disabled={busy}>
        {busy ? "One moment…" : isNew ? "Create account" : "Sign in"}
      </button>
    </form>
  );
}

function missing(typed: Record<"name" | "email" | "password", string>): Refusal | undefined {
  const found: Refusal = {};
  if (!typed.name) found.name = "Type your name.";
  if (!typed.email.includes("@")) found.email = "Type your e-mail address.";
  if (!typed.password) found.password = "Type your password.";
  return Object.keys(found).length ? found : undefined;
}
