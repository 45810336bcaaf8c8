"use client";

import { forgetToken } from "@/lib/api";
import { authClient } from "@/lib/auth-client";
import { missing, refusal } from "@/lib/problems";
import { Field, Form } from "../form";

export function ResetPasswordForm({ token }: { token: string }) {
  async function submit({ password = "" }: Record<string, string>) {
    const refused =
      missing({ password }) ??
      (await refusal(authClient.resetPassword({ newPassword: password, token })));
    if (refused) return refused;
    forgetToken();
    return new Promise<never>(() => location.assign("/sign-in?reset"));
  }

  return (
    <Form action={submit} button="Reset password">
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
