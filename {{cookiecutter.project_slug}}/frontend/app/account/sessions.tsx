"use client";

import { useRouter } from "next/navigation";
import { useState, useTransition } from "react";
import { authClient } from "@/lib/auth-client";
import { refusal } from "@/lib/problems";
import type { Session } from "@/lib/session";
import { useHydrated } from "../use-hydrated";

// The server renders these dates, too, and does not know the browser's language and time zone.
const format = new Intl.DateTimeFormat("en", {
  dateStyle: "medium",
  timeStyle: "short",
  timeZone: "UTC",
});

export function Sessions({ sessions, current }: { sessions: Session[]; current: string }) {
  const router = useRouter();
  const [problem, setProblem] = useState<string>();
  const [busy, startTransition] = useTransition();
  const hydrated = useHydrated();

  const end = (request: () => Parameters<typeof refusal>[0]) =>
    startTransition(async () => {
      const refused = await refusal(request());
      setProblem(refused?.form);
      if (!refused) router.refresh();
    });

  return (
    <section className="panel">
      <h2>Sessions</h2>
      <ul className="sessions" aria-busy={busy}>
        {sessions.map(({ id, device, ip, createdAt }) => (
          <li key={id}>
            <span>
              {device}
              <small>
                Signed in <time dateTime={createdAt}>{format.format(new Date(createdAt))} UTC</time>{" "}
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
                onClick={() => end(() => authClient.endSession({ id }))}
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
          onClick={() => end(() => authClient.revokeOtherSessions())}
        >
          End all other sessions
        </button>
      )}
      <p className="error" role="alert">
        {problem}
      </p>
      {sessions.length > 1 && (
        <p className="hint">A session that you end may still reach your tasks for five minutes.</p>
      )}
    </section>
  );
}
