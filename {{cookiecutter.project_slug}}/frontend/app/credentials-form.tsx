"use client";

import { authClient } from "@/lib/auth-client";
import { authErrors, validateRequired } from "@/lib/auth-errors";
import { Field, Form } from "./form";

export function CredentialsForm({ purpose }: { purpose: "sign-in" | "sign-up" }) {
  const isNew = purpose === "sign-up";

  async function handleSubmit({ name = "", email = "", password = "" }: Record<string, string>) {
    const typed = { email: email.trim(), password };
    const errors =
      validateRequired(isNew ? { name, ...typed } : typed) ??
      (await authErrors(
        isNew
          ? authClient.signUp.email({ name: name.trim(), ...typed })
          : authClient.signIn.email(typed),
      ));
    // A full page load, so that no data of an earlier user stays in memory.
    if (!errors) return new Promise<never>(() => location.assign("/"));
    return errors;
  }

  return (
    <Form action={handleSubmit} submitLabel={isNew ? "Create account" : "Sign in"}>
      {isNew && <Field label="Name" name="name" autoComplete="name" />}
      <Field label="Email" name="email" type="email" autoComplete="username" spellCheck={false} />
      <Field
        label="Password"
        name="password"
        type="password"
        autoComplete={isNew ? "new-password" : "current-password"}
        hint={isNew ? "At least 8 characters." : undefined}
      />
    </Form>
  );
}
