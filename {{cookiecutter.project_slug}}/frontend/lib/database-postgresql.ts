import { Pool } from "pg";
import { variable } from "./env";

const isPostgres = (value: string) => /^postgres(ql)?:\/\//.test(value);

/** Better Auth's tables, in a schema `auth` of their own: one database can hold the service's too. */
export const database = new Pool({
  connectionString: variable("DATABASE_URL", isPostgres, "must be a postgresql:// URL"),
  options: "-c search_path=auth",
  connectionTimeoutMillis: 5_000,
});

// Without a listener, an idle connection that the server closes would end this process.
database.on("error", (error) => console.error("A database connection was lost:", error.message));

export async function prepareDatabase(): Promise<void> {
  try {
    await database.query("CREATE SCHEMA IF NOT EXISTS auth");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ECONNREFUSED") throw error;
    throw new Error(
      "nothing answers at DATABASE_URL: `make run` in the folder above starts a server for development",
    );
  }
}
