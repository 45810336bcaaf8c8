import { checkSettings } from "./settings.mjs";

// Telemetry must be disabled before Next starts: it reads .env files too late.
process.env.NEXT_TELEMETRY_DISABLED = "1";

try {
  checkSettings(process.argv[2] === "dev" ? "development" : "production");
} catch (error) {
  console.error(`Cannot start: ${error.message}`);
  process.exit(1);
}

await import("next/dist/bin/next");
