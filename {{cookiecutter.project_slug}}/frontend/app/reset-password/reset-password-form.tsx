"use client";

import { clearToken } from "@/lib/api";
import { authClient } from "@/lib/auth-client";
import { authErrors, validateRequired } from "@/lib/auth-errors";
import { Field, Form } from "../form";

export function ResetPasswordForm({ token }: { token: string }) {
  async function handleSubmit({ password = "" }: Record<string, string>) {
    const errors =
      validateRequired({ password }) ??
      (await authErrors(authClient.resetPassword({ newPassword: password, token })));
    if (errors) return errors;
    clearToken();
    return new Promise<never>(() => location.assign("/sign-in?reset"));
  }

  return (
    <Form action={handleSubmit} submitLabel="Reset password">
      <p>This signs you out on all devices.</p>
      <Field
        label="New password"
        name="password"
        type="password"
        autoComplete="new-password"
        hint="At least 8 characters."
      />
    </Form>
  );
}
