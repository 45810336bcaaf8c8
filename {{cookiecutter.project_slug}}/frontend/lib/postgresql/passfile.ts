import { existsSync, readFileSync, statSync } from "node:fs";
import { existing } from "./parameters";

const PASSFILE_LINE =
  /^((?:\\.|[^:\\])*):((?:\\.|[^:\\])*):((?:\\.|[^:\\])*):((?:\\.|[^:\\])*):(.*)$/;

/** Returns the password for `key` (host, port, database, user) from libpq's password file. */
export function storedPassword(passfile: string | undefined, key: string[]): string | undefined {
  const path = passfile ?? process.env.PGPASSFILE ?? existing(".pgpass");
  // Like libpq, ignore a file that other users can read.
  const mayUse = path && existsSync(path) && (statSync(path).mode & 0o077) === 0;
  if (!mayUse && passfile) throw new Error("passfile must exist and be readable only by its owner");
  if (!mayUse) return undefined;
  for (const line of readFileSync(/* turbopackIgnore: true */ path, "utf8").split(/\r?\n/)) {
    const [, ...fields] = PASSFILE_LINE.exec(line) ?? [];
    const [host, port, database, user, password] = fields.map((field) =>
      field.replace(/\\(.)/g, "$1"),
    );
    const matches = [host, port, database, user].every(
      (field, index) => field === "*" || field === key[index],
    );
    if (matches) return password;
  }
  return undefined;
}
