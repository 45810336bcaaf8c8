import { dehydrate, QueryClient } from "@tanstack/react-query";
import { api } from "@/lib/server-api";
import { requiredUser } from "@/lib/session";
import { tasksQuery, toShow } from "@/lib/tasks";
import { Queries } from "./queries";
import { Shell } from "./shell";
import { TaskList } from "./task-list";

export default async function TasksPage({
  searchParams,
}: {
  searchParams: Promise<{ show?: string }>;
}) {
  const user = await requiredUser();
  const queries = new QueryClient();
  // If this fails, the page has no list yet, and the browser fetches it.
  await queries.infiniteQuery(tasksQuery(api, toShow((await searchParams).show))).catch(() => {});
  return (
    <Shell user={user}>
      <Queries fetched={dehydrate(queries)}>
        <TaskList />
      </Queries>
    </Shell>
  );
}
