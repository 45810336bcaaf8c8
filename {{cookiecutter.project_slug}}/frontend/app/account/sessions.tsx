"use client";

import { useRouter } from "next/navigation";
import { useState, useTransition } from "react";
import { authClient } from "@/lib/auth-client";
import { authErrors } from "@/lib/auth-errors";
import type { Session } from "@/lib/session";
import { Alert } from "../alert";
import { useHydrated } from "../use-hydrated";

// In English and UTC, because the server renders it, too, without the browser's locale.
const dateFormat = new Intl.DateTimeFormat("en", {
  dateStyle: "medium",
  timeStyle: "short",
  timeZone: "UTC",
});

export function Sessions({ sessions, current }: { sessions: Session[]; current: string }) {
  const router = useRouter();
  const [error, setError] = useState<string>();
  const [isPending, startTransition] = useTransition();
  const hydrated = useHydrated();

  const handleEnd = (request: () => Parameters<typeof authErrors>[0]) =>
    startTransition(async () => {
      const errors = await authErrors(request());
      setError(errors?.form);
      if (!errors) router.refresh();
    });

  return (
    <section className="panel">
      <h2>Sessions</h2>
      <ul className="sessions" aria-busy={isPending}>
        {sessions.map(({ id, device, ip, createdAt }) => (
          <li key={id}>
            <span>
              {device}
              <small>
                Signed in{" "}
                <time dateTime={createdAt}>{dateFormat.format(new Date(createdAt))} UTC</time>{" "}
                {ip && `from ${ip}`}
              </small>
            </span>
            {id === current ? (
              <small>This session</small>
            ) : (
              <button
                type="button"
                aria-label={`End session: ${device}`}
                disabled={!hydrated}
                onClick={() => handleEnd(() => authClient.endSession({ id }))}
              >
                End
              </button>
            )}
          </li>
        ))}
      </ul>
      {sessions.length > 1 && (
        <button
          type="button"
          disabled={!hydrated}
          onClick={() => handleEnd(() => authClient.revokeOtherSessions())}
        >
          End all other sessions
        </button>
      )}
      <Alert>{error}</Alert>
      {sessions.length > 1 && (
        <p className="hint">
          An ended session may still have access to your tasks for five minutes.
        </p>
      )}
    </section>
  );
}
