"use client";

import { authClient } from "@/lib/auth-client";
import { missing, refusal } from "@/lib/problems";
import { Field, Form } from "../form";

export function EmailAddress({
  email,
  verified,
  canSendMail,
}: {
  email: string;
  verified: boolean;
  canSendMail: boolean;
}) {
  const resend = async () =>
    (await refusal(authClient.sendVerificationEmail({ email }))) ?? {
      notice: `We sent a link to ${email}.`,
    };

  async function change({ email: typed = "" }: Record<string, string>) {
    const newEmail = typed.trim();
    return (
      missing({ email: newEmail }) ??
      (newEmail.toLowerCase() === email
        ? { email: "This is already your email address." }
        : undefined) ??
      (await refusal(authClient.changeEmail({ newEmail }))) ?? {
        // The same for a taken address, so that it does not reveal the other account.
        notice: verified
          ? `We sent a link to ${email}. Open it to approve the new address.`
          : `We sent a link to ${newEmail}. Open it to confirm the new address.`,
      }
    );
  }

  return (
    <section className="panel">
      <h2>Email address</h2>
      <p>
        {email} {verified ? "is confirmed." : canSendMail ? "is not confirmed yet." : ""}
      </p>
      {canSendMail ? (
        <>
          {!verified && (
            <Form action={resend} button="Resend confirmation email" className="secondary" />
          )}
          <Form action={change} button="Change email address">
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
