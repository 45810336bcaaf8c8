"use client";

import { authClient } from "@/lib/auth-client";
import { authErrors, validateRequired } from "@/lib/auth-errors";
import { Field, Form } from "../form";

export function ForgotPasswordForm() {
  async function handleSubmit({ email = "" }: Record<string, string>) {
    const typed = { email: email.trim() };
    return (
      validateRequired(typed) ??
      (await authErrors(
        authClient.requestPasswordReset({ ...typed, redirectTo: "/reset-password" }),
      )) ?? {
        notice: `If an account exists for ${typed.email}, we sent it a link to reset your password. The link expires in one hour.`,
      }
    );
  }

  return (
    <Form action={handleSubmit} submitLabel="Send reset link">
      <p>Enter your email address, and we will send you a link to reset your password.</p>
      <Field label="Email" name="email" type="email" autoComplete="username" spellCheck={false} />
    </Form>
  );
}
