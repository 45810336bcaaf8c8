import type { Metadata } from "next";
import Link from "next/link";
import { linkErrorMessage } from "@/lib/auth-errors";
import { Logo } from "../logo";

export const metadata: Metadata = { title: "Email address" };

const results = new Map([
  ["approved", "One more step: open the link that we sent to your new address."],
  ["changed", "Your new email address is confirmed. Use it the next time you sign in."],
  ["verified", "Thank you. Your email address is confirmed."],
]);

/** Links that confirm or approve an email address redirect here. */
export default async function VerifyEmailPage({
  searchParams,
}: {
  searchParams: Promise<{ step?: string; error?: string }>;
}) {
  const { step, error } = await searchParams;
  return (
    <main className="card">
      <Logo />
      <h1>Email address</h1>
      {error ? (
        <p role="alert">{linkErrorMessage(String(error))}</p>
      ) : (
        <p role="status">
          {results.get(String(step)) ?? "Open the link in the email that we sent you."}
        </p>
      )}
      <p className="form-footer">
        <Link href="/account">Go to your account</Link>
      </p>
    </main>
  );
}
