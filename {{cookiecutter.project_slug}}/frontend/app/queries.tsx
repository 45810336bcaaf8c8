"use client";

import {
  type DehydratedState,
  focusManager,
  HydrationBoundary,
  MutationCache,
  QueryClient,
  QueryClientProvider,
} from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { isPassing, retryDelay } from "@/lib/problems";

// By default, a page is refreshed only after it was hidden, not after it was beside another window.
if (typeof window !== "undefined") window.addEventListener("focus", () => focusManager.onFocus());

const createClient = () =>
  new QueryClient({
    // A change is pending until the page shows it.
    mutationCache: new MutationCache({
      onSuccess: (_data, _variables, _result, _mutation, { client }) => client.invalidateQueries(),
    }),
    defaultOptions: {
      mutations: { networkMode: "always", retryDelay },
      queries: {
        networkMode: "offlineFirst", // While the browser is offline, the page says so and waits.
        refetchOnWindowFocus: "always",
        retry: (_, error) => isPassing(error),
        retryDelay,
        staleTime: 10_000, // Else the browser would fetch at once what the server has rendered.
      },
    },
  });

/** Keeps what the page fetches, beginning with what the server has `fetched`. */
export function Queries({ fetched, children }: { fetched: DehydratedState; children: ReactNode }) {
  const [client] = useState(createClient);
  return (
    <QueryClientProvider client={client}>
      <HydrationBoundary state={fetched}>{children}</HydrationBoundary>
    </QueryClientProvider>
  );
}
