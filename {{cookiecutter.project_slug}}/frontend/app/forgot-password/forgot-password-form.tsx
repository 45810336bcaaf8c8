"use client";

import { authClient } from "@/lib/auth-client";
import { missing, refusal } from "@/lib/problems";
import { Field, Form } from "../form";

export function ForgotPasswordForm() {
  async function submit({ email = "" }: Record<string, string>) {
    const typed = { email: email.trim() };
    return (
      missing(typed) ??
      (await refusal(
        authClient.requestPasswordReset({ ...typed, redirectTo: "/reset-password" }),
      )) ?? {
        notice: `If there is an account for ${typed.email}, an email with a link is on its way. The link works for one hour.`,
      }
    );
  }

  return (
    <Form action={submit} button="Send a link">
      <p>Type the email address of your account. You get a link for choosing a new password.</p>
      <Field label="Email" name="email" type="email" autoComplete="username" spellCheck={false} />
    </Form>
  );
}
