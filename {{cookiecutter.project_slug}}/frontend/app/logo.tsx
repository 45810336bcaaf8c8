import { appName } from "@/lib/app-name";

export function Logo() {
  return (
    <span className="logo">
      <svg viewBox="0 0 32 32" aria-hidden="true">
        <rect width="32" height="32" rx="9" />
        <path d="m9 16.5 5 5 9.5-11" />
      </svg>
      {appName}
    </span>
  );
}
