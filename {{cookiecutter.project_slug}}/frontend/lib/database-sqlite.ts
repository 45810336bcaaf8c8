import { LibsqlDialect } from "@libsql/kysely-libsql";

/** Better Auth's tables, in a file beside this app. */
export const database = {
  dialect: new LibsqlDialect({ url: "file:./auth.db" }),
  type: "sqlite" as const,
};

/** Nothing to do before the first table: the file comes with it. */
export async function prepareDatabase(): Promise<void> {}
