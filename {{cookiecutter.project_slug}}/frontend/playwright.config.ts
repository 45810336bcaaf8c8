import { randomBytes } from "node:crypto";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium, defineConfig, devices } from "@playwright/test";

// Separate ports, so that `make run` and `npm run dev` can keep running.
const port = (name: string, fallback: number) => Number(process.env[name] || fallback);
const api = `http://localhost:${port("TEST_API_PORT", 8100)}`;
const site = `http://localhost:${port("TEST_SITE_PORT", 3100)}`;
// For everything that the tests write. Data of earlier runs is deleted first.
const folder = ".test";
const log = join(folder, "service.log");
# jinja: if cookiecutter.database == "postgresql"
const database = `postgresql://postgres@127.0.0.1:${port("TEST_DATABASE_PORT", 5100)}/postgres`;
# jinja: else
const database = `sqlite:///frontend/${folder}/data/tasks.db`;
# jinja: endif
const secret = randomBytes(32).toString("base64url");

/** Returns all variables of a .env.example as empty, so that .env files have no effect. */
function unset(example: string): Record<string, string> {
  const names = readFileSync(join(__dirname, example), "utf8").matchAll(/^(?:# )?(\w+)=/gm);
  return Object.fromEntries([...names].map(([, name]) => [name, ""]));
}

/** Returns the path of the system's browser, or undefined if Playwright has its own. */
function browserPath(): string | undefined {
  if (existsSync(chromium.executablePath())) return undefined;
  const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  const folders = process.env.PATH?.split(delimiter) ?? [];
  const found = names.flatMap((name) => folders.map((path) => join(path, name))).find(isExecutable);
  if (found) return found;
  console.error("These tests need a browser. To install one, run: npx playwright install chromium");
  process.exit(1);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Prints the end of the service's log, which has a line per request. */
function showLog(): void {
  if (!existsSync(log)) return;
  const lines = readFileSync(log, "utf8").trimEnd().split("\n");
  console.error(`\nThe end of the service's log, ${log}:\n${lines.slice(-20).join("\n")}`);
}

const isWorker = process.env.TEST_WORKER_INDEX !== undefined;
if (!isWorker) process.on("exit", (code) => code && showLog());

const server = {
  // A running server would have other settings, or belong to another test run.
  reuseExistingServer: false,
  gracefulShutdown: { signal: "SIGTERM" as const, timeout: 20_000 },
  timeout: 240_000, // The first run installs the service's dependencies.
};

export default defineConfig({
  testDir: "tests/e2e",
  outputDir: join(folder, "results"),
  forbidOnly: !!process.env.CI,
  reporter: "list",
  timeout: 60_000,
  expect: { timeout: 10_000 }, // CI machines may be slow.
  use: {
    ...devices["Desktop Chrome"],
    baseURL: site,
    trace: "retain-on-failure",
    launchOptions: { executablePath: browserPath() },
  },
  // Playwright starts these one after the other.
  webServer: [
    {
      ...server,
      name: "Service",
      command: `rm -rf ${folder}/data && mkdir -p ${folder}/data && exec make --directory=.. run 2> ${log}`,
      url: `${api}/health/ready`,
      env: {
        ...unset("../.env.example"),
        BETTER_AUTH_URL: site,
        CORS_ORIGINS: site,
        DATABASE_URL: database,
        DRAIN_SECONDS: "0",
        JWT_AUDIENCE: api,
        PORT: new URL(api).port,
# jinja: if cookiecutter.token_verification == "shared-secret"
        BETTER_AUTH_SECRET: secret,
# jinja: endif
# jinja: if cookiecutter.database == "postgresql"
        DEVELOPMENT_DATABASE_FOLDER: `frontend/${folder}/data`,
# jinja: endif
      },
    },
    {
      ...server,
      name: "Frontend",
      command: `npm run build && npm run start -- --port ${new URL(site).port}`,
      url: `${site}/api/auth/ok`,
      env: {
        ...unset(".env.example"),
        BETTER_AUTH_SECRET: secret,
        BETTER_AUTH_URL: site,
        JWT_AUDIENCE: api,
        NEXT_DIST_DIR: `${folder}/next`,
        NEXT_PUBLIC_API_URL: api,
# jinja: if cookiecutter.database == "postgresql"
        DATABASE_URL: database,
# jinja: else
        AUTH_DATABASE: `${folder}/data/auth.db`,
# jinja: endif
      },
    },
  ],
});
