import type { Metadata } from "next";
import Link from "next/link";
import { redirect } from "next/navigation";
import { providers } from "@/lib/providers";
import { currentUser } from "@/lib/session";
import { CredentialsForm } from "../credentials-form";
import { Logo } from "../logo";
import { SocialSignIn } from "../social-sign-in";

export const metadata: Metadata = { title: "Create an account" };

export default async function SignUpPage() {
  if (await currentUser()) redirect("/");
  return (
    <main className="card">
      <Logo />
      <h1>Create an account</h1>
      <CredentialsForm purpose="sign-up" />
      <SocialSignIn providers={providers} />
      <p className="form-footer">
        Already have one? <Link href="/sign-in">Sign in</Link>
      </p>
    </main>
  );
}
