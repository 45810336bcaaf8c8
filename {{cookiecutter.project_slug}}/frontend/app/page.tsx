import { requiredUser } from "@/lib/session";
import { Shell } from "./shell";
import { TaskList } from "./task-list";

export default async function TasksPage() {
  return (
    <Shell user={await requiredUser()}>
      <TaskList />
    </Shell>
  );
}
