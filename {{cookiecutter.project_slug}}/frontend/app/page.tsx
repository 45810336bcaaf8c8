import { dehydrate, QueryClient } from "@tanstack/react-query";
import { api } from "@/lib/server-api";
import { requireUser } from "@/lib/session";
import { parseFilter, taskListOptions } from "@/lib/tasks";
import { QueryProvider } from "./query-provider";
import { Shell } from "./shell";
import { TaskList } from "./tasks/task-list";

export default async function TasksPage({
  searchParams,
}: {
  searchParams: Promise<{ show?: string }>;
}) {
  const user = await requireUser();
  const filter = parseFilter((await searchParams).show);
  const queryClient = new QueryClient();
  // If this fails, the page is rendered without tasks, and the browser fetches them.
  await queryClient.infiniteQuery(taskListOptions(api, filter)).catch(() => {});
  return (
    <Shell user={user}>
      <QueryProvider state={dehydrate(queryClient)}>
        <TaskList />
      </QueryProvider>
    </Shell>
  );
}
