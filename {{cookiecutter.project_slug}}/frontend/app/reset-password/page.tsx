import type { Metadata } from "next";
import Link from "next/link";
import { Logo } from "../logo";
import { ResetPasswordForm } from "./reset-password-form";

export const metadata: Metadata = { title: "Choose a new password" };

/** Where the link in the email leads: with a token, or with an error if the link cannot be used. */
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
        <p role="alert">This link was used already, or it is older than one hour.</p>
      )}
      <p className="aside">
        <Link href="/forgot-password">Send another link</Link>
      </p>
    </main>
  );
}
