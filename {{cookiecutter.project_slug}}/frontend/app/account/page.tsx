import type { Metadata } from "next";
import { canSendMail } from "@/lib/mail";
import { activeSessions, hasPassword, requireSession } from "@/lib/session";
import { Shell } from "../shell";
import { DeleteAccount } from "./delete-account";
import { EmailAddress } from "./email-address";
import { Password } from "./password";
import { Sessions } from "./sessions";

export const metadata: Metadata = { title: "Account" };

export default async function AccountPage() {
  const { user, session } = await requireSession();
  const { id, name, email, emailVerified } = user;
  const usesPassword = await hasPassword();
  return (
    <Shell user={{ id, name: name || email }}>
      <h1>Account</h1>
      <dl>
        <dt>Name</dt>
        <dd>{name}</dd>
      </dl>
      <EmailAddress email={email} isVerified={emailVerified} canSendMail={canSendMail} />
      <Password email={email} usesPassword={usesPassword} canSendMail={canSendMail} />
      <Sessions sessions={await activeSessions(id)} current={session.id} />
      <DeleteAccount email={email} usesPassword={usesPassword} />
    </Shell>
  );
}
