import { LibsqlDialect } from "@libsql/kysely-libsql";
import type { BetterAuthOptions } from "better-auth";

const FILE = "auth.db";

/** Better Auth's tables, in a file of the folder that `scripts/settings.mjs` goes to: this app's. */
export const database = {
  dialect: new LibsqlDialect({ url: `file:./${FILE}` }),
  type: "sqlite" as const,
};

/** Makes or changes the tables that these options need; returns how many. */
export async function migrate(options: BetterAuthOptions) {
  // Not at the top, which the app loads too.
  const { getMigrations } = await import("better-auth/db/migration");
  try {
    const { runMigrations, toBeAdded, toBeCreated } = await getMigrations(options);
    await runMigrations();
    return { made: toBeCreated.length, changed: toBeAdded.length };
  } catch (error) {
    const { message } = error as Error;
    const reason = /connect/.test(message) ? "its folder is missing or cannot be written" : message;
    throw new Error(`${FILE} cannot be used: ${reason}`);
  }
}
