"use client";

import { useState, useTransition } from "react";
import { authClient } from "@/lib/auth-client";
import { refusal } from "@/lib/problems";
import { useHydrated } from "./use-hydrated";

const NAMES = { google: "Google", github: "GitHub" };

export type Provider = keyof typeof NAMES;

/** Buttons to sign in or sign up with a provider such as Google. */
export function SocialSignIn({ providers }: { providers: Provider[] }) {
  const [problem, setProblem] = useState<string>();
  const [busy, startTransition] = useTransition();
  const hydrated = useHydrated();

  const signIn = (provider: Provider) =>
    startTransition(async () => {
      const refused = await refusal(
        authClient.signIn.social({ provider, callbackURL: "/", errorCallbackURL: "/sign-in" }),
      );
      // On success, the browser is being redirected to the provider: stay busy until it leaves.
      if (refused) setProblem(refused.form);
      else return new Promise<never>(() => {});
    });

  if (providers.length === 0) return null;
  return (
    <>
      <p className="or">or</p>
      {providers.map((provider) => (
        <button
          key={provider}
          type="button"
          className="secondary"
          disabled={!hydrated}
          aria-disabled={busy}
          onClick={() => busy || signIn(provider)}
        >
          Continue with {NAMES[provider]}
        </button>
      ))}
      <p className="error" role="alert">
        {problem}
      </p>
    </>
  );
}
