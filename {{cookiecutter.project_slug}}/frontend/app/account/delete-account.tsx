"use client";

import { forgetToken } from "@/lib/api";
import { authClient } from "@/lib/auth-client";
import { missing, refusal } from "@/lib/problems";
import { Field, Form, HiddenUsername } from "../form";

export function DeleteAccount({ email, usesPassword }: { email: string; usesPassword: boolean }) {
  async function submit({ current = "" }: Record<string, string>) {
    const refused =
      missing(usesPassword ? { current } : {}) ??
      (await refusal(authClient.deleteUser(usesPassword ? { password: current } : {})));
    if (refused) return refused;
    forgetToken();
    return new Promise<never>(() => location.assign("/sign-in?deleted"));
  }

  return (
    <section className="panel">
      <h2>Delete account</h2>
      <p>This permanently deletes your account and all your tasks. It cannot be undone.</p>
      <Form
        action={submit}
        button="Delete account and tasks"
        working="Deleting…"
        className="danger"
      >
        {usesPassword && (
          <>
            <HiddenUsername email={email} />
            <Field
              label="Your password"
              name="current"
              type="password"
              autoComplete="current-password"
            />
          </>
        )}
      </Form>
    </section>
  );
}
