"use client";

import { useState, useTransition } from "react";
import { authClient } from "@/lib/auth-client";
import { authErrors } from "@/lib/auth-errors";
import { Alert } from "./alert";
import { useHydrated } from "./use-hydrated";

const names = { google: "Google", github: "GitHub" };

export type Provider = keyof typeof names;

/** Buttons to sign in or sign up with a provider such as Google. */
export function SocialSignIn({ providers }: { providers: Provider[] }) {
  const [error, setError] = useState<string>();
  const [isPending, startTransition] = useTransition();
  const hydrated = useHydrated();

  const handleSignIn = (provider: Provider) =>
    startTransition(async () => {
      const errors = await authErrors(
        authClient.signIn.social({ provider, callbackURL: "/", errorCallbackURL: "/sign-in" }),
      );
      // On success, the browser is being redirected to the provider: stay pending until it has left the page.
      if (errors) setError(errors.form);
      else return new Promise<never>(() => {});
    });

  if (providers.length === 0) return null;
  return (
    <>
      <p className="divider">or</p>
      {providers.map((provider) => (
        <button
          key={provider}
          type="button"
          className="secondary"
          disabled={!hydrated}
          aria-disabled={isPending}
          onClick={() => isPending || handleSignIn(provider)}
        >
          Continue with {names[provider]}
        </button>
      ))}
      <Alert>{error}</Alert>
    </>
  );
}
