/** Makes or updates Better Auth's tables. Run again, it changes nothing. */
import { getMigrations } from "better-auth/db/migration";

try {
  process.loadEnvFile(".env.local");
} catch {
  // No such file: the settings are then in the environment already.
}

try {
  // Not at the top: both read the settings when they are loaded.
  const { auth } = await import("../lib/auth");
  const { prepareDatabase } = await import("../lib/database-{{ cookiecutter.database }}");

  await prepareDatabase();
  const { runMigrations, toBeAdded, toBeCreated } = await getMigrations(auth.options);
  await runMigrations();
  console.log(`Better Auth's tables: ${toBeCreated.length} made, ${toBeAdded.length} changed`);
  process.exit(); // An open connection would keep it alive.
} catch (error) {
  console.error(`Cannot start: ${error instanceof Error ? error.message || error.name : error}`);
  process.exit(1);
}
