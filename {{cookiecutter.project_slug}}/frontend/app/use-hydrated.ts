import { useSyncExternalStore } from "react";

const subscribe = () => () => {};

/** False until the page is hydrated: until then, submitting a form would reload the page. */
export const useHydrated = () =>
  useSyncExternalStore(
    subscribe,
    () => true,
    () => false,
  );
