import type { Metadata } from "next";
import Link from "next/link";
import { Logo } from "../logo";
import { ResetPasswordForm } from "./reset-password-form";

export const metadata: Metadata = { title: "Choose a new password" };

/** Reset links redirect here, without a token if they have expired or have been used. */
export default async function ResetPasswordPage({
  searchParams,
}: {
  searchParams: Promise<{ token?: string }>;
}) {
  const { token } = await searchParams;
  return (
    <main className="card">
      <Logo />
      <h1>Choose a new password</h1>
      {token ? (
        <ResetPasswordForm token={String(token)} />
      ) : (
        <p role="alert">This link has expired or has already been used.</p>
      )}
      <p className="form-footer">
        <Link href="/forgot-password">Request a new link</Link>
      </p>
    </main>
  );
}
