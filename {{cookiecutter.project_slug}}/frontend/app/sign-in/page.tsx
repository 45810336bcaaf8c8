import type { Metadata } from "next";
import Link from "next/link";
import { redirect } from "next/navigation";
import { currentUser } from "@/lib/session";
import { CredentialsForm } from "../credentials-form";
import { Logo } from "../logo";

export const metadata: Metadata = { title: "Sign in" };

export default async function SignInPage({
  searchParams,
}: {
  searchParams: Promise<{ deleted?: string }>;
}) {
  if (await currentUser()) redirect("/");
  return (
    <main className="card">
      <Logo />
      <h1>Sign in</h1>
      {(await searchParams).deleted !== undefined && (
        <p className="notice" role="status">
          Your account and all its tasks are deleted.
        </p>
      )}
      <CredentialsForm purpose="sign-in" />
      <p className="aside">
        New here? <Link href="/sign-up">Create an account</Link>
      </p>
    </main>
  );
}
