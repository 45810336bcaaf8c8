import type { Metadata } from "next";
import { requiredUser } from "@/lib/session";
import { Shell } from "../shell";
import { DeleteAccount } from "./delete-account";

export const metadata: Metadata = { title: "Account" };

export default async function AccountPage() {
  const user = await requiredUser();
  return (
    <Shell user={user}>
      <h1>Account</h1>
      <dl>
        <dt>Name</dt>
        <dd>{user.name}</dd>
        <dt>E-mail</dt>
        <dd>{user.email}</dd>
      </dl>
      <DeleteAccount email={user.email} />
    </Shell>
  );
}
