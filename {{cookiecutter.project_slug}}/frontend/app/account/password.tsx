"use client";

import { authClient } from "@/lib/auth-client";
import { authErrors, type FormErrors, validateRequired } from "@/lib/auth-errors";
import { Field, Form, HiddenUsername } from "../form";

export function Password({
  email,
  usesPassword,
  canSendMail,
}: {
  email: string;
  usesPassword: boolean;
  canSendMail: boolean;
}) {
  async function handleChange({ currentPassword = "", password = "" }: Record<string, string>) {
    const errors: FormErrors | undefined =
      validateRequired({ currentPassword, password }) ??
      (await authErrors(
        authClient.changePassword({
          currentPassword,
          newPassword: password,
          revokeOtherSessions: true,
        }),
      ));
    return errors ?? { notice: "Your password has been changed. All other sessions have ended." };
  }

  const handleSendLink = async () =>
    (await authErrors(
      authClient.requestPasswordReset({ email, redirectTo: "/reset-password" }),
    )) ?? {
      notice: `We sent a link to ${email}.`,
    };

  return (
    <section className="panel">
      <h2>Password</h2>
      {usesPassword ? (
        <Form action={handleChange} submitLabel="Change password">
          <HiddenUsername email={email} />
          <Field
            label="Current password"
            name="currentPassword"
            type="password"
            autoComplete="current-password"
          />
          <Field
            label="New password"
            name="password"
            type="password"
            autoComplete="new-password"
            hint="At least 8 characters. Changing it ends all other sessions."
          />
        </Form>
      ) : (
        <>
          <p>You sign in through another site, without a password.</p>
          {canSendMail && (
            <Form
              action={handleSendLink}
              submitLabel="Send a link to set a password"
              className="secondary"
            />
          )}
        </>
      )}
    </section>
  );
}
