"use client";

import Link from "next/link";
import { type ReactNode, useEffect, useState } from "react";
import { expectOwner, forgetToken } from "@/lib/api";
import { authClient } from "@/lib/auth-client";
import { refusal } from "@/lib/problems";
import { Logo } from "./logo";

/** The frame of pages for signed-in users. It hides the page while the user is signed out. */
export function Shell({
  user,
  children,
}: {
  user: { id: string; name: string };
  children: ReactNode;
}) {
  const session = authClient.useSession(); // Looks again when another tab signs out or this one is shown.
  const [leaving, setLeaving] = useState(false);
  const [problem, setProblem] = useState<string>();
  const signedOut = !session.isPending && !session.error && !session.data && !leaving;
  const replaced = session.data && session.data.user.id !== user.id;

  useEffect(() => expectOwner(user.id), [user.id]);

  useEffect(() => {
    if (replaced) location.reload();
  }, [replaced]);

  async function signOut() {
    setLeaving(true);
    const refused = await refusal(authClient.signOut());
    if (refused) {
      setLeaving(false);
      setProblem(refused.form);
    } else {
      forgetToken();
      location.assign("/sign-in");
    }
  }

  return (
    <>
      <header>
        <Link href="/" className="home">
          <Logo />
        </Link>
        <nav aria-label="Account" hidden={signedOut}>
          <Link href="/account">{user.name}</Link>
          <button type="button" onClick={signOut}>
            Sign out
          </button>
        </nav>
      </header>
      <p className="error" role="alert">
        {problem}
      </p>
      {signedOut && (
        <main className="card">
          <div role="alert">
            <h1>You are signed out</h1>
            <p>
              What you typed is still here.{" "}
              <a href="/sign-in" target="_blank" rel="noopener">
                Sign in again in a new tab
              </a>
              , then come back to this one.
            </p>
          </div>
        </main>
      )}
      {/* Hidden, not gone: whatever was typed is there again after signing in. */}
      <main className="page" hidden={signedOut}>
        {children}
      </main>
    </>
  );
}
