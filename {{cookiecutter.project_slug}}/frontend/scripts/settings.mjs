import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import nextEnv from "@next/env";

// Lines that python-dotenv, Next.js, Node and Docker Compose read the same way. The service applies
// the same rule to its .env.
const NAME = /^ *(?:export +)?([A-Za-z_]\w*) *=/;
const LINE = /^[^=]*= *("[^"\\]*"|'[^'\\]*'|[^\s"'#][^#\t\r]*)?(?: +#.*)? *$/;

/**
 * Changes to this app's folder, sets NODE_ENV and checks the .env files. Throws a one-line Error if
 * Next, the service, the template's hooks and Docker Compose would read a file differently. It names
 * file and variable, never a value.
 *
 * @param {"development" | "production"} mode NODE_ENV, whatever other tools have set
 */
export function checkSettings(mode) {
  process.chdir(fileURLToPath(new URL("..", import.meta.url)));
  process.env.NODE_ENV = mode;
  for (const file of [`.env.${mode}.local`, ".env.local", `.env.${mode}`, ".env"]) {
    const text = read(file);
    for (const [index, line] of text.split(/\r?\n/).entries()) checkLine(line, file, index + 1);
  }
}

/**
 * Does what `checkSettings` does, then loads the files as Next does.
 *
 * @param {"development" | "production"} mode
 */
export function loadSettings(mode) {
  checkSettings(mode);
  nextEnv.loadEnvConfig(".", mode === "development", { info() {}, error: console.error });
}

/** @param {string} file */
function read(file) {
  let bytes;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    if (error.code === "ENOENT") return "";
    throw new Error(`${file} cannot be read: ${error.code}`);
  }
  try {
    // This drops a byte order mark, as Next does. UTF-16 fails to decode or contains zero bytes.
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (!text.includes("\0")) return text;
  } catch {}
  throw new Error(`${file} is not UTF-8 text. Save it as UTF-8.`);
}

/**
 * @param {string} line
 * @param {string} file
 * @param {number} number
 */
function checkLine(line, file, number) {
  if (/^ *(#|$)/.test(line)) return;
  const [, name] = NAME.exec(line) ?? [];
  if (name === undefined) throw new Error(`${file}: line ${number} is not NAME=value.`);
  const [, value = ""] = LINE.exec(line) ?? ["", line];
  if (/[$`]/.test(value)) {
    throw new Error(
      `${file}: ${name} contains $ or a backtick, which other programs expand: choose another value.`,
    );
  }
  if (!LINE.test(line)) {
    throw new Error(
      `${file}: ${name} would be read differently by other programs: put a value with # in quotes, and use no tabs, and no quotes or backslashes inside quotes.`,
    );
  }
  if (/\p{C}|(?! )\p{Z}/u.test(value)) {
    throw new Error(`${file}: ${name} contains an invisible character: type the value again.`);
  }
  // If a file sets the variable, Next also expands its value in the environment, which wins.
  if (process.env[name]?.includes("$")) {
    throw new Error(
      `${name} contains $ in the environment, which Next.js would expand: remove its line from ${file}.`,
    );
  }
}
