import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import nextEnv from "@next/env";

const LINE = /^(?:export[ \t]+)?([\w.-]+)[ \t]*=[ \t]*(.*?)[ \t]*$/;

/**
 * Goes to this app's folder, sets NODE_ENV, and refuses a .env file that its readers would read
 * differently: Next, the service, the template's hooks and Docker Compose. Throws an Error, in one
 * line that names file and variable, never a value.
 *
 * @param {"development" | "production"} mode NODE_ENV, whatever another tool has set it to
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
 * The same, and then reads the files as Next does.
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
    // It drops a byte order mark, as Next does. UTF-16 is not UTF-8, or full of zeros.
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (!text.includes("\0")) return text;
  } catch {}
  throw new Error(`${file} is not in UTF-8: save it anew in that encoding`);
}

/**
 * @param {string} line
 * @param {string} file
 * @param {number} number
 */
function checkLine(line, file, number) {
  if (/^\s*(#|$)/.test(line)) return;
  const [, name, value] = LINE.exec(line.trim()) ?? [];
  if (name === undefined || value === undefined) {
    throw new Error(`line ${number} of ${file} is not NAME=value`);
  }
  const [, quote, inner] = /^(["'])(.*)\1$/.exec(value) ?? ["", "", value];
  if (/[$`]/.test(value)) throw refusal("$ or `");
  if (quote && (inner.includes(quote) || inner.includes("\\"))) {
    throw refusal("a backslash or the same quote inside quotes");
  }
  if (!quote && /#/.test(value)) throw refusal("# without quotes around the value");
  if (!quote && /^["']/.test(value)) throw refusal("a quote that does not end on its line");
  // Next would expand it there too, although the environment wins over the file.
  if (process.env[name]?.includes("$")) {
    throw new Error(
      `${name} is in the environment, with a $ in it: remove it from ${file}, because Next would expand it`,
    );
  }

  function refusal(what) {
    const remedy = name?.endsWith("_URL")
      ? "percent-encode it"
      : "use another value, or set it in the environment alone";
    return new Error(`${name} in ${file} has ${what}, which programs read differently: ${remedy}`);
  }
}
