import { LibsqlDialect } from "@libsql/kysely-libsql";
import type { BetterAuthOptions } from "better-auth";

// Relative to this app's folder: `scripts/settings.mjs` changes the working directory to it.
const FILE = process.env.AUTH_DATABASE || "auth.db";

/** Better Auth's tables, in an SQLite file. */
export const database = {
  // Milliseconds to wait for a lock. Without it, a write fails at once while another is running.
  dialect: new LibsqlDialect({ url: `file:${FILE}`, timeout: 5_000 }),
  type: "sqlite" as const,
};

/** Creates or changes the tables that these options need. Returns how many. */
export async function migrate(options: BetterAuthOptions) {
  // Imported here because the app loads this file without needing it.
  const { getMigrations } = await import("better-auth/db/migration");
  try {
    const { runMigrations, toBeAdded, toBeCreated } = await getMigrations(options);
    await runMigrations();
    return { created: toBeCreated.length, changed: toBeAdded.length };
  } catch (error) {
    const { message } = error as Error;
    const reason = /connect/.test(message) ? "its folder is missing or cannot be written" : message;
    throw new Error(`${FILE} cannot be used: ${reason}`);
  }
}
