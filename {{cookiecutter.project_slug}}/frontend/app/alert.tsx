import type { ReactNode } from "react";

/** An error message that screen readers announce when it appears. */
export function Alert({ id, children }: { id?: string; children: ReactNode }) {
  return (
    <p id={id} className="error" role="alert">
      {children}
    </p>
  );
}
