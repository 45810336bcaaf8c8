import { readFileSync, statSync } from "node:fs";
import { findReadable, type Parameters, reject, urlError } from "./parameters";

const PASSFILE_LINE =
  /^((?:\\.|[^:\\])*):((?:\\.|[^:\\])*):((?:\\.|[^:\\])*):((?:\\.|[^:\\])*):(.*)$/;

/** The lines of a password file: host, port, database, user, password. */
export type Passwords = string[][];

/** Reads libpq's password file: `passfile`, or else PGPASSFILE or ~/.pgpass if `needed`. */
export function readPasswords(parameters: Parameters, needed: boolean): Passwords {
  const named = parameters.path("passfile");
  const { PGPASSFILE } = process.env;
  const path = named ?? (needed ? PGPASSFILE || findReadable(".pgpass") : undefined);
  if (!path) return [];
  const name = named ? "passfile" : PGPASSFILE ? "PGPASSFILE" : "~/.pgpass";
  let bytes: Buffer;
  try {
    const { mode } = statSync(path);
    bytes = readFileSync(/* turbopackIgnore: true */ path);
    if (mode & 0o077) throw new Error(`other users can read it: run chmod 600 ${path}`);
  } catch (error) {
    // Like libpq, ignore a default file that is missing or that other users can read.
    if (!named) return [];
    throw urlError(`names a file in passfile that cannot be used: ${(error as Error).message}`);
  }
  const text = bytes.toString();
  if (!bytes.equals(Buffer.from(text))) {
    reject(`cannot be used: the file of ${name} is not UTF-8 text: ${path}`);
  }
  return text.split(/\r?\n/).flatMap((line) => {
    const [, ...fields] = (!line.startsWith("#") && PASSFILE_LINE.exec(line)) || [];
    return fields.length ? [fields.map((field) => field.replace(/\\(.)/g, "$1"))] : [];
  });
}

/** Returns the password for `key`: host, port, database, user. */
export function findPassword(passwords: Passwords, key: string[]): string | undefined {
  const matches = (line: string[]) =>
    key.every((wanted, index) => line[index] === "*" || line[index] === wanted);
  return passwords.find(matches)?.[4];
}
