/** Starts the server of a standalone build. This is the command of the image. */
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const folder = dirname(dirname(fileURLToPath(import.meta.url)));

// Next listens on this address. Container engines set it to the container's name.
process.env.HOSTNAME = "0.0.0.0";

// After SIGTERM, Next finishes the requests in flight and exits with 143, which platforms would
// report as a failure.
process.on("exit", (code) => {
  if (code === 143) process.exitCode = 0;
});

await import(pathToFileURL(join(folder, "server.js")).href);
