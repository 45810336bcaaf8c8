"use client";

import { authClient } from "@/lib/auth-client";
import { authErrors, validateRequired } from "@/lib/auth-errors";
import { Field, Form } from "../form";

export function EmailAddress({
  email,
  isVerified,
  canSendMail,
}: {
  email: string;
  isVerified: boolean;
  canSendMail: boolean;
}) {
  const handleResend = async () =>
    (await authErrors(authClient.sendVerificationEmail({ email }))) ?? {
      notice: `We sent a link to ${email}.`,
    };

  async function handleChange({ email: typed = "" }: Record<string, string>) {
    const newEmail = typed.trim();
    return (
      validateRequired({ email: newEmail }) ??
      (newEmail.toLowerCase() === email
        ? { email: "This is already your email address." }
        : undefined) ??
      (await authErrors(authClient.changeEmail({ newEmail }))) ?? {
        // The same for a taken address, so that it does not reveal the other account.
        notice: isVerified
          ? `We sent a link to ${email}. Open it to approve the new address.`
          : `We sent a link to ${newEmail}. Open it to confirm the new address.`,
      }
    );
  }

  return (
    <section className="panel">
      <h2>Email address</h2>
      <p>
        {email} {isVerified ? "is confirmed." : canSendMail ? "is not confirmed yet." : ""}
      </p>
      {canSendMail ? (
        <>
          {!isVerified && (
            <Form
              action={handleResend}
              submitLabel="Resend confirmation email"
              className="secondary"
            />
          )}
          <Form action={handleChange} submitLabel="Change email address">
            <Field
              label="New email address"
              name="email"
              type="email"
              autoComplete="email"
              spellCheck={false}
            />
          </Form>
        </>
      ) : (
        <p className="hint">This site cannot send email, so you cannot change your address here.</p>
      )}
    </section>
  );
}
