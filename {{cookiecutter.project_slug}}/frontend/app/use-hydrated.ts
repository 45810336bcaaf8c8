import { useSyncExternalStore } from "react";

const never = () => () => {};

/** False until React listens: a form sent before that would leave the page with what was typed. */
export const useHydrated = () =>
  useSyncExternalStore(
    never,
    () => true,
    () => false,
  );
