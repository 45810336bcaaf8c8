import { accessSync, constants, realpathSync } from "node:fs";
import { LibsqlDialect } from "@libsql/kysely-libsql";
import type { getMigrations } from "better-auth/db/migration";

/** Better Auth's tables, in a file beside this app: `scripts/settings.mjs` makes that the folder. */
export const database = {
  dialect: new LibsqlDialect({ url: "file:./auth.db" }),
  type: "sqlite" as const,
};

/** Makes or changes the tables that `plan` finds missing; returns how many. */
export async function migrate(
  plan: (options: typeof database) => ReturnType<typeof getMigrations>,
): Promise<{ made: number; changed: number }> {
  const { runMigrations, toBeAdded, toBeCreated } = await plan(database);
  await runMigrations();
  return { made: toBeCreated.length, changed: toBeAdded.length };
}
