import type { Metadata } from "next";
import Link from "next/link";
import { redirect } from "next/navigation";
import { providerErrorMessage } from "@/lib/auth-errors";
import { providers } from "@/lib/providers";
import { currentUser } from "@/lib/session";
import { CredentialsForm } from "../credentials-form";
import { Logo } from "../logo";
import { SocialSignIn } from "../social-sign-in";

export const metadata: Metadata = { title: "Sign in" };

const notices: Record<string, string> = {
  deleted: "Your account and all its tasks have been deleted.",
  reset: "Your password has been reset. Sign in with your new password.",
};

export default async function SignInPage({
  searchParams,
}: {
  searchParams: Promise<Record<string, string | string[] | undefined>>;
}) {
  if (await currentUser()) redirect("/");
  const params = await searchParams;
  const notice = Object.keys(notices).find((name) => name in params);
  return (
    <main className="card">
      <Logo />
      <h1>Sign in</h1>
      {notice && (
        <p className="notice" role="status">
          {notices[notice]}
        </p>
      )}
      {params.error && (
        <p className="error" role="alert">
          {providerErrorMessage(String(params.error))}
        </p>
      )}
      <CredentialsForm purpose="sign-in" />
      <SocialSignIn providers={providers} />
      <p className="form-footer">
        <Link href="/forgot-password">Forgot your password?</Link>
      </p>
      <p className="form-footer">
        New here? <Link href="/sign-up">Create an account</Link>
      </p>
    </main>
  );
}
