import type { Metadata } from "next";
import Link from "next/link";
import { linkProblem } from "@/lib/problems";
import { Logo } from "../logo";

export const metadata: Metadata = { title: "Email address" };

const results: Record<string, string> = {
  approved: "One more step: open the link in the email that we sent to your new address.",
  changed: "Your new email address is confirmed. Use it when you sign in.",
  verified: "Thank you. The email address is confirmed.",
};

/** Where the links in the emails about addresses lead. */
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
        <p role="alert">{linkProblem(String(error))}</p>
      ) : (
        <p role="status">{results[String(step)] ?? results.verified}</p>
      )}
      <p className="aside">
        <Link href="/account">Go to your account</Link>
      </p>
    </main>
  );
}
