/** Creates or updates Better Auth's tables. If they are up to date, it changes nothing. */
import { loadSettings } from "./settings.mjs";

try {
  loadSettings(process.argv[2] === "dev" ? "development" : "production");
  // Imported here because both read the settings when they are loaded.
  const { auth } = await import("../lib/auth");
  const { migrate } = await import("../lib/database-{{ cookiecutter.database }}");

  const { created, changed } = await migrate(auth.options);
  console.log(`Better Auth's tables: ${created} created, ${changed} changed`);
  process.exit(); // Open connections would keep the process alive.
} catch (error) {
  console.error(`Cannot start: ${error instanceof Error ? error.message || error.name : error}`);
  process.exit(1);
}
