/** The check of .env files: all programs must read them the same way. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeEach, expect, test, vi } from "vitest";

// The script reads the files in its parent folder, so each test has a copy in a folder of its own.
const source = join(process.cwd(), "scripts/settings.mjs");
const modules = join(process.cwd(), "node_modules");
const above = mkdtempSync(join(tmpdir(), "settings-"));
const start = process.cwd();
let folder: string;
let settings: typeof import("@/scripts/settings.mjs");

beforeEach(async () => {
  folder = mkdtempSync(join(above, "app-"));
  mkdirSync(join(folder, "scripts"));
  symlinkSync(modules, join(folder, "node_modules"));
  const copy = join(folder, "scripts/settings.mjs");
  copyFileSync(source, copy);
  settings = await import(/* @vite-ignore */ pathToFileURL(copy).href);
  vi.stubEnv("NODE_ENV", "test"); // The script changes it; Vitest restores it.
});

afterEach(() => process.chdir(start));
afterAll(() => rmSync(above, { recursive: true }));

const write = (content: string | Buffer, file = ".env.local") =>
  writeFileSync(join(folder, file), content);
const message = (mode: "development" | "production" = "production") => {
  try {
    settings.checkSettings(mode);
  } catch (error) {
    return (error as Error).message;
  }
};

test.each([
  "",
  "# comment\n\nNAME=value\n",
  "NAME=",
  "export NAME=value",
  "NAME=value # comment",
  'NAME="with # and spaces"',
  "NAME='with \"double\" quotes'",
  "NAME=with spaces",
  "NAME=a%23b?c=d&e",
  "\uFEFFNAME=value\r\n",
])("%j is valid", (text) => {
  write(text);

  expect(message()).toBeUndefined();
});

test.each([
  ["NAME=pa$$word", /NAME contains \$ or a backtick/],
  ["NAME=`whoami`word", /NAME contains \$ or a backtick/],
  ["NAME=pass#word", /NAME would be read differently/],
  ['NAME="pass\\word"', /NAME would be read differently/],
  ['NAME="password', /NAME would be read differently/],
  ["NAME=pass\tword", /NAME would be read differently/],
  ["NAME=pass\u200Bword", /NAME contains an invisible character/],
  ["NAME=pass\u00A0word", /NAME contains an invisible character/],
  ["password", /line 1 is not NAME=value/],
  ["2NAME=password", /line 1 is not NAME=value/],
])("%j is rejected with a message that has the file and name, not the value", (text, rule) => {
  write(text);

  expect(message()).toMatch(rule);
  expect(message()).toMatch(/^\.env\.local: /);
  expect(message()).not.toContain("word");
});

test.each([
  ["UTF-16", Buffer.from("\uFEFFNAME=value", "utf16le")],
  ["Latin-1", Buffer.from("NAME=schön", "latin1")],
  ["a zero byte", "NAME=val\0ue"],
])("a file with %s is rejected", (_, content) => {
  write(content);

  expect(message()).toBe(".env.local is not UTF-8 text. Save it as UTF-8.");
});

test("an environment variable with $ is rejected if a file sets it as well", () => {
  write("NAME=value");
  vi.stubEnv("NAME", "pa$$word");

  expect(message()).toMatch(/^NAME contains \$ in the environment.*remove its line from \.env/);
});

test("only the files of the mode are read", () => {
  write("broken", ".env.development");

  expect(message("production")).toBeUndefined();
  expect(message("development")).toMatch(/^\.env\.development: line 1/);
});

test("NODE_ENV is set to the mode, even if it was set before", () => {
  settings.checkSettings("production");

  expect(process.env.NODE_ENV).toBe("production");
});

test("loadSettings loads the files, and environment variables take precedence", () => {
  write("FROM_FILE=file\nFROM_BOTH=file");
  vi.stubEnv("FROM_BOTH", "environment");
  vi.stubEnv("FROM_FILE", undefined);

  settings.loadSettings("production");

  expect(process.env).toMatchObject({ FROM_FILE: "file", FROM_BOTH: "environment" });
});
