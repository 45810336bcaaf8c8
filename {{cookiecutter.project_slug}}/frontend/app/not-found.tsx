import Link from "next/link";

export default function NotFound() {
  return (
    <main className="card">
      <h1>There is no such page</h1>
      <Link href="/">Back to your tasks</Link>
    </main>
  );
}
