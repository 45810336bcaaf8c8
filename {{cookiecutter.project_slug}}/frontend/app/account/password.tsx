"use client";

import { authClient } from "@/lib/auth-client";
import { missing, type Refusal, refusal } from "@/lib/problems";
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
  async function change({ current = "", password = "" }: Record<string, string>) {
    const refused: Refusal | undefined =
      missing({ current, password }) ??
      (await refusal(
        authClient.changePassword({
          currentPassword: current,
          newPassword: password,
          revokeOtherSessions: true,
        }),
      ));
    return refused ?? { notice: "Your password has been changed. All other sessions have ended." };
  }

  const sendLink = async () =>
    (await refusal(authClient.requestPasswordReset({ email, redirectTo: "/reset-password" }))) ?? {
      notice: `We sent a link to ${email}.`,
    };

  return (
    <section className="panel">
      <h2>Password</h2>
      {usesPassword ? (
        <Form action={change} button="Change password">
          <HiddenUsername email={email} />
          <Field
            label="Current password"
            name="current"
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
            <Form action={sendLink} button="Send a link to set a password" className="secondary" />
          )}
        </>
      )}
    </section>
  );
}
