import { accessSync, constants, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

const URL_PARTS =
  /^postgres(?:ql)?(?:\+asyncpg)?:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/i;
const HOST_AND_PORT = /^(\[[^\]]+\]|[^:[\]]*)(?::(\d*))?$/;
// The service accepts the same parameters and values: see app/database_url.py. These have no effect
// here: Kerberos is not used, and vendors add others for other drivers and poolers.
const IGNORED = "gssdelegation gsslib krbsrvname sslcompression supa uselibpqcompat".split(" ");
// Node cannot set these.
const IGNORED_NUMBERS = ["keepalives_interval", "keepalives_count", "tcp_user_timeout"];
// For these parameters, only the values that have no effect here are accepted. The first is the default.
const FIXED = {
  client_encoding: ["", "auto", "utf8", "utf-8", "UTF8", "UTF-8", "unicode", "UNICODE"],
  gssencmode: ["disable", "prefer"],
  max_protocol_version: ["3.0", "3.2", "latest"],
  min_protocol_version: ["3.0"],
  sslsni: ["1"],
  pgbouncer: ["true", "false"],
  prepared_statements: ["true", "false"],
  statement_cache_size: ["0"],
  prepared_statement_cache_size: ["0"],
};
const ADVICE = new Map([
  ["schema", "set AUTH_SCHEMA"],
  ["search_path", "set AUTH_SCHEMA"],
  ["hostaddr", "write the address as the host"],
  ["service", "write its settings into the URL"],
  ["servicefile", "write its settings into the URL"],
  ["sslaccept", "use sslmode and sslrootcert"],
  ["sslcrldir", "use sslcrl"],
]);

/** Returns the error for a rejected URL, in one line without the URL. */
export function urlError(rule: string): Error {
  return new Error(`DATABASE_URL ${rule.replace(/\s+/g, " ")}`);
}

export function reject(rule: string): never {
  throw urlError(rule);
}

/** Splits a URL as libpq does, with several hosts. Throws an Error if it is malformed. */
export function parseParameters(url: string): Parameters {
  // Checked first: the messages below could contain parts of a password that is not percent-encoded.
  if (/[\s\p{Cc}#]|@.*@|:\/\/.*[/?].*@/u.test(url)) {
    reject("must have space, @, /, ? and # in names and passwords as %20, %40, %2F, %3F and %23");
  }
  const [, user, password, hosts = "", database, query] =
    URL_PARTS.exec(url) ?? reject("must be a postgresql:// URL");
  const parts = hosts
    .split(",")
    .map((part) => HOST_AND_PORT.exec(part) ?? reject("has an invalid host"));
  const given = new Map<string, string>();
  const set = (name: string, value: string | undefined) => value && given.set(name, decoded(value));
  set("user", user);
  set("password", password);
  set("host", parts.map(([, host = ""]) => host.replace(/^\[(.*)\]$/, "$1")).join(","));
  set("port", parts.some(([, , port]) => port) ? parts.map((part) => part[2]).join(",") : "");
  set("dbname", database);
  for (const parameter of query?.split("&").filter(Boolean) ?? []) {
    const [, name = "", value = ""] =
      /^([^=]+)=(.*)$/.exec(parameter) ??
      reject("needs parameters like name=value after the question mark");
    given.set(decoded(name), decoded(value));
  }
  return new Parameters(given);
}

function decoded(text: string): string {
  try {
    if (!text.includes("%00")) return decodeURIComponent(text);
  } catch {}
  throw urlError("has a % that does not start a character such as %40: write %25 for a %");
}

/** The parameters of a URL. Once all known ones are taken, `rejectUnknown` rejects the others. */
export class Parameters {
  constructor(private readonly given: Map<string, string>) {}

  /** Returns a value, or undefined if it is empty, which means the default. */
  take(name: string): string | undefined {
    return this.takeGiven(name) || undefined;
  }

  private takeGiven(name: string): string | undefined {
    const value = this.given.get(name);
    this.given.delete(name);
    return value;
  }

  choice<Choice extends string>(name: string, choices: Choice[], defaultValue: Choice): Choice {
    // As in libpq, an empty value is valid only if it is one of the choices.
    const value = this.takeGiven(name) ?? defaultValue;
    return (
      choices.find((choice) => choice === value) ??
      reject(`needs ${name} to be one of ${choices.filter(Boolean).join(", ")}`)
    );
  }

  integer(name: string): number | undefined {
    const value = this.takeGiven(name);
    if (value === undefined) return undefined;
    return /^-?\d{1,9}$/.test(value) ? Number(value) : reject(`needs ${name} to be a whole number`);
  }

  has(name: string): boolean {
    return !!this.given.get(name);
  }

  is(name: string, value: string): boolean {
    return this.given.get(name) === value && this.given.delete(name);
  }

  /** Returns the content of the file that a parameter names, or of libpq's default file. */
  file(name: string, defaultFile: string): Buffer | undefined {
    const path = this.path(name) ?? findReadable(".postgresql", defaultFile);
    if (!path) return undefined;
    try {
      return readFileSync(/* turbopackIgnore: true */ path);
    } catch (error) {
      throw urlError(`names a file in ${name} that cannot be read: ${(error as Error).message}`);
    }
  }

  /** Returns a path. Relative ones start in the project's folder, as in the service. */
  path(name: string): string | undefined {
    const path = this.take(name);
    return path && resolve(/* turbopackIgnore: true */ process.cwd(), "..", path);
  }

  rejectUnknown(): void {
    for (const name of IGNORED) this.take(name);
    for (const name of IGNORED_NUMBERS) this.integer(name);
    for (const [name, [defaultValue = "", ...others]] of Object.entries(FIXED)) {
      this.choice(name, [defaultValue, ...others], defaultValue);
    }
    for (const name of this.given.keys()) {
      const advice = ADVICE.get(name) ?? "check its spelling or remove it";
      reject(
        `has the parameter ${name.replace(/[^\w.-]/g, "?")}, which is not supported: ${advice}`,
      );
    }
  }
}

/** Returns the path of a file in the user's home folder if it is readable. */
export function findReadable(...path: string[]): string | undefined {
  try {
    const file = join(homedir(), ...path);
    accessSync(file, constants.R_OK);
    return file;
  } catch {
    return undefined; // It is missing or not readable, or the user has no home folder.
  }
}
