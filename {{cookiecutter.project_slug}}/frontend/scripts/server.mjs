/** Starts the server of a standalone build: the command of the image. */
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const folder = dirname(dirname(fileURLToPath(import.meta.url)));

// Next listens on this name, which engines set to the container's name.
process.env.HOSTNAME = "0.0.0.0";

// After SIGTERM, Next finishes the requests in flight, then exits with 143. Platforms would report
// that as a failure.
process.on("exit", (code) => {
  if (code === 143) process.exitCode = 0;
});

await import(pathToFileURL(join(folder, "server.js")).href);
