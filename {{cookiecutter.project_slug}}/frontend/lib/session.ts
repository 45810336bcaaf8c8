import { headers } from "next/headers";
import { redirect } from "next/navigation";
import { auth } from "./auth";

/** Whoever is signed in, for a page on the server. */
export async function currentUser() {
  const session = await auth.api.getSession({ headers: await headers() });
  return session?.user;
}

/** The same for a page that is only for people who are signed in. */
export async function requiredUser() {
  const user = await currentUser();
  if (!user) redirect("/sign-in");
  return { id: user.id, name: user.name, email: user.email };
}
