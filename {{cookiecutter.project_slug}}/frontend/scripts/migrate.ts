/** Creates or updates Better Auth's tables. If they are up to date, it changes nothing. */
import { loadSettings } from "./settings.mjs";

try {
  loadSettings(process.argv[2] === "dev" ? "development" : "production");
  // Not at the top: both read the settings when they are loaded.
  const { auth } = await import("../lib/auth");
  const { migrate } = await import("../lib/database-{{ cookiecutter.database }}");

  const { made, changed } = await migrate(auth.options);
  console.log(`Better Auth's tables: ${made} made, ${changed} changed`);
  process.exit(); // An open connection would keep it alive.
} catch (error) {
  console.error(`Cannot start: ${error instanceof Error ? error.message || error.name : error}`);
  process.exit(1);
}
