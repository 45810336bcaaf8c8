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

// By default, only pages that were hidden refetch, not those that stayed visible without focus.
if (typeof window !== "undefined") window.addEventListener("focus", () => focusManager.onFocus());

const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const createClient = () =>
  new QueryClient({
    // A mutation stays pending until the refetched list shows the change, for 3 seconds at most.
    mutationCache: new MutationCache({
      onSuccess: (_data, _variables, _result, _mutation, { client }) =>
        Promise.race([client.invalidateQueries(), wait(3_000)]),
    }),
    defaultOptions: {
      mutations: { networkMode: "always", retryDelay },
      queries: {
        networkMode: "offlineFirst", // If the browser is offline, show an error, then wait.
        refetchOnWindowFocus: "always",
        retry: (_, error) => isPassing(error),
        retryDelay,
        staleTime: 10_000, // Otherwise the browser would refetch what the server rendered.
      },
    },
  });

/** Provides the query cache, which begins with the data that the server has `fetched`. */
export function Queries({ fetched, children }: { fetched: DehydratedState; children: ReactNode }) {
  const [client] = useState(createClient);
  return (
    <QueryClientProvider client={client}>
      <HydrationBoundary state={fetched}>{children}</HydrationBoundary>
    </QueryClientProvider>
  );
}
