"use client";

import Link from "next/link";
import { type ReactNode, useEffect, useState } from "react";
import { clearToken, expectUser } from "@/lib/api";
import { authClient } from "@/lib/auth-client";
import { authErrors } from "@/lib/auth-errors";
import { Alert } from "./alert";
import { Logo } from "./logo";

/** The layout of pages for signed-in users. It hides the page while the user is signed out. */
export function Shell({
  user,
  children,
}: {
  user: { id: string; name: string };
  children: ReactNode;
}) {
  // Refetched when another tab signs out, and when this tab becomes visible.
  const session = authClient.useSession();
  const [isSigningOut, setSigningOut] = useState(false);
  const [error, setError] = useState<string>();
  const isSignedOut = !session.isPending && !session.error && !session.data && !isSigningOut;
  const isOtherUser = session.data && session.data.user.id !== user.id;

  useEffect(() => expectUser(user.id), [user.id]);

  useEffect(() => {
    if (isOtherUser) location.reload();
  }, [isOtherUser]);

  async function handleSignOut() {
    setSigningOut(true);
    const errors = await authErrors(authClient.signOut());
    if (errors) {
      setSigningOut(false);
      setError(errors.form);
    } else {
      clearToken();
      location.assign("/sign-in");
    }
  }

  return (
    <>
      <header>
        <Link href="/" className="home">
          <Logo />
        </Link>
        <nav aria-label="Account" hidden={isSignedOut}>
          <Link href="/account">{user.name}</Link>
          <button type="button" onClick={handleSignOut}>
            Sign out
          </button>
        </nav>
      </header>
      <Alert>{error}</Alert>
      {isSignedOut && (
        <main className="card">
          <div role="alert">
            <h1>You are signed out</h1>
            <p>
              What you typed is still here.{" "}
              <a href="/sign-in" target="_blank" rel="noopener">
                Sign in again in a new tab
              </a>
              , then return to this one.
            </p>
          </div>
        </main>
      )}
      {/* Hidden, not unmounted, so that typed text is still there after signing in again. */}
      <main className="page" hidden={isSignedOut}>
        {children}
      </main>
    </>
  );
}
