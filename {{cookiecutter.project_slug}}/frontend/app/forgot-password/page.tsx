import type { Metadata } from "next";
import Link from "next/link";
import { canSendMail } from "@/lib/mail";
import { Logo } from "../logo";
import { ForgotPasswordForm } from "./forgot-password-form";

export const metadata: Metadata = { title: "Reset your password" };

export default function ForgotPasswordPage() {
  return (
    <main className="card">
      <Logo />
      <h1>Reset your password</h1>
      {canSendMail ? (
        <ForgotPasswordForm />
      ) : (
        <p>This site cannot send email. Contact its administrator for help.</p>
      )}
      <p className="form-footer">
        <Link href="/sign-in">Back to sign-in</Link>
      </p>
    </main>
  );
}
