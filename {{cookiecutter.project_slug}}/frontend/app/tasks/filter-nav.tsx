import Link from "next/link";
import type { TaskFilter } from "@/lib/tasks";

const links = { all: "/", open: "/?show=open", done: "/?show=done" };

export function FilterNav({ current }: { current: TaskFilter }) {
  return (
    <nav aria-label="Show" className="filters">
      {Object.entries(links).map(([filter, href]) => (
        <Link
          key={filter}
          href={href}
          prefetch={false}
          aria-current={filter === current ? "page" : undefined}
          onNavigate={(event) => {
            event.preventDefault(); // Without a navigation, the list stays mounted with typed text.
            window.history.pushState(null, "", href);
          }}
        >
          {filter}
        </Link>
      ))}
    </nav>
  );
}
