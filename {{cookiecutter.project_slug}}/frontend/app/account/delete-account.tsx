"use client";

import { clearToken } from "@/lib/api";
import { authClient } from "@/lib/auth-client";
import { authErrors, validateRequired } from "@/lib/auth-errors";
import { Field, Form, HiddenUsername } from "../form";

export function DeleteAccount({ email, usesPassword }: { email: string; usesPassword: boolean }) {
  async function handleSubmit({ currentPassword = "" }: Record<string, string>) {
    const errors =
      validateRequired(usesPassword ? { currentPassword } : {}) ??
      (await authErrors(authClient.deleteUser(usesPassword ? { password: currentPassword } : {})));
    if (errors) return errors;
    clearToken();
    return new Promise<never>(() => location.assign("/sign-in?deleted"));
  }

  return (
    <section className="panel">
      <h2>Delete account</h2>
      <p>This permanently deletes your account and all your tasks. It cannot be undone.</p>
      <Form
        action={handleSubmit}
        submitLabel="Delete account and tasks"
        pendingLabel="Deleting…"
        className="danger"
      >
        {usesPassword && (
          <>
            <HiddenUsername email={email} />
            <Field
              label="Your password"
              name="currentPassword"
              type="password"
              autoComplete="current-password"
            />
          </>
        )}
      </Form>
    </section>
  );
}
