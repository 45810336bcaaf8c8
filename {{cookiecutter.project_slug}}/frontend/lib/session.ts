import Bowser from "bowser";
import { headers } from "next/headers";
import { redirect } from "next/navigation";
import { auth } from "./auth";

const currentSession = async () => auth.api.getSession({ headers: await headers() });

/** Returns the signed-in user, or undefined. Only for code on the server. */
export async function currentUser() {
  return (await currentSession())?.user;
}

/** Returns the session and its user. Without a session, redirects to the sign-in page. */
export async function requireSession() {
  const session = await currentSession();
  if (!session) redirect("/sign-in");
  return session;
}

/** Returns what the browser needs to know of the user. Without a session, redirects to sign in. */
export async function requireUser() {
  const { user } = await requireSession();
  return { id: user.id, name: user.name || user.email };
}

/** Returns whether the signed-in user has a password, and not only accounts with providers. */
export async function hasPassword(): Promise<boolean> {
  const accounts = await auth.api.listUserAccounts({ headers: await headers() });
  return accounts.some(({ providerId }) => providerId === "credential");
}

export interface Session {
  id: string;
  device: string;
  ip: string;
  createdAt: string;
}

/** Returns a user's sessions, newest first, without their tokens. */
export async function activeSessions(userId: string): Promise<Session[]> {
  // Not auth.api.listSessions, which requires a sign-in within the last day.
  const { internalAdapter } = await auth.$context;
  const sessions = await internalAdapter.listSessions(userId, { onlyActiveSessions: true });
  return sessions
    .sort((one, other) => other.createdAt.getTime() - one.createdAt.getTime())
    .map(({ id, userAgent, ipAddress, createdAt }) => ({
      id,
      device: device(userAgent),
      ip: shortIp(ipAddress ?? ""),
      createdAt: createdAt.toISOString(),
    }));
}

/** Shortens an IPv6 address: Better Auth stores its network part, with all zeros. */
function shortIp(ip: string): string {
  const short = ip.includes(":") ? new URL(`http://[${ip}]`).hostname.slice(1, -1) : ip;
  return short === "::" ? "" : short; // It is loopback, or the proxy sent no client address.
}

/** Returns a name like "Firefox on Linux" for a `User-Agent`. */
function device(userAgent?: string | null): string {
  if (!userAgent) return "Unknown device";
  const { browser, os } = Bowser.parse(userAgent);
  return browser.name && os.name ? `${browser.name} on ${os.name}` : userAgent.slice(0, 60);
}
