"use client";

import { type FormEvent, useState, useTransition } from "react";
import { forgetToken } from "@/lib/api";
import { authClient } from "@/lib/auth-client";
import { type Refusal, refusal } from "@/lib/problems";
import { Field } from "../field";
import { useHydrated } from "../use-hydrated";

export function DeleteAccount({ email }: { email: string }) {
  const [refused, setRefused] = useState<Refusal>({});
  const [busy, startTransition] = useTransition();
  const hydrated = useHydrated();

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    if (busy) return;
    const input = event.currentTarget.elements.namedItem("password") as HTMLInputElement;

    startTransition(async () => {
      const found = input.value
        ? await refusal(authClient.deleteUser({ password: input.value }))
        : { password: "Type your password: it shows that it is you." };
      if (!found) {
        forgetToken();
        return new Promise(() => location.assign("/sign-in?deleted"));
      }
      setRefused(found);
      if (found.password) input.focus();
    });
  }

  return (
    <form className="panel" method="post" noValidate onSubmit={submit}>
      <h2>Delete account</h2>
      <p>This deletes your account and all your tasks at once. It cannot be undone.</p>
      {/* For password managers, which want to know whose password it is. */}
      <input hidden readOnly autoComplete="username" value={email} />
      <Field
        label="Your password"
        name="password"
        type="password"
        autoComplete="current-password"
        error={refused.password}
      />
      <p className="error" role="alert">
        {refused.form}
      </p>
      <button type="submit" className="danger" disabled={!hydrated} aria-disabled={busy}>
        {busy ? "Deleting…" : "Delete account and tasks"}
      </button>
    </form>
  );
}
