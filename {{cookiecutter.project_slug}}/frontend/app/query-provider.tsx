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
import { isRetryable, retryDelay } from "@/lib/api-errors";
import { ConflictError } from "@/lib/tasks";

// By default, queries are refetched only when a hidden page becomes visible, not when its window
// gets the focus.
if (typeof window !== "undefined") window.addEventListener("focus", () => focusManager.onFocus());

const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const createClient = () =>
  new QueryClient({
    mutationCache: new MutationCache({
      // A mutation stays pending until the lists are refetched, but for 3 seconds at most.
      onSettled: (_data, error, _variables, _result, _mutation, { client }) => {
        if (error && !(error instanceof ConflictError)) return;
        return Promise.race([client.invalidateQueries(), wait(3_000)]);
      },
    }),
    defaultOptions: {
      mutations: { networkMode: "always", retryDelay },
      queries: {
        networkMode: "offlineFirst", // If the browser is offline, show an error, then wait.
        refetchOnWindowFocus: "always",
        retry: (_, error) => isRetryable(error),
        retryDelay,
        staleTime: 10_000, // Otherwise, the browser would refetch what the server rendered.
      },
    },
  });

/** Provides the query cache. It starts with the data that the server has fetched. */
export function QueryProvider({
  state,
  children,
}: {
  state: DehydratedState;
  children: ReactNode;
}) {
  const [client] = useState(createClient);
  return (
    <QueryClientProvider client={client}>
      <HydrationBoundary state={state}>{children}</HydrationBoundary>
    </QueryClientProvider>
  );
}
