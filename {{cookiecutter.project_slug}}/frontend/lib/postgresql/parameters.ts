import { accessSync, constants, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

const URL_PARTS =
  /^postgres(?:ql)?(?:\+asyncpg)?:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/i;
const HOST_AND_PORT = /^(\[[^\]]+\]|[^:[\]]*)(?::(\d*))?$/;
// The service accepts the same parameters and values: see app/database_url.py. These are without
// effect here: Kerberos is never used, and vendors append others for other drivers and poolers.
const IGNORED = "gssdelegation gsslib krbsrvname sslcompression supa uselibpqcompat".split(" ");
// Node cannot set these details of keepalives.
const IGNORED_NUMBERS = ["keepalives_interval", "keepalives_count", "tcp_user_timeout"];
// Parameters of which only these values are accepted: they ask for what happens here anyway.
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

/** Returns the error for a refused URL: one line, without the URL. */
export function refusal(rule: string): Error {
  return new Error(`DATABASE_URL ${rule.replace(/\s+/g, " ")}`);
}

export function refuse(rule: string): never {
  throw refusal(rule);
}

/** Splits a URL as libpq does, with several hosts. Throws an Error if it is malformed. */
export function readParameters(url: string): Parameters {
  // First, because the messages below could show part of a password that is not percent-encoded.
  if (/[\s\p{Cc}#]|@.*@|:\/\/.*[/?].*@/u.test(url)) {
    refuse("must have space, @, /, ? and # in names and passwords as %20, %40, %2F, %3F and %23");
  }
  const [, user, password, hosts = "", database, query] =
    URL_PARTS.exec(url) ?? refuse("must be a postgresql:// URL");
  const parts = hosts
    .split(",")
    .map((part) => HOST_AND_PORT.exec(part) ?? refuse("has an invalid host"));
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
      refuse("needs parameters like name=value after the question mark");
    given.set(decoded(name), decoded(value));
  }
  return new Parameters(given);
}

function decoded(text: string): string {
  try {
    if (!text.includes("%00")) return decodeURIComponent(text);
  } catch {}
  throw refusal("has a % that does not start a character such as %40: write %25 for a %");
}

/** The parameters of a URL. After all known ones are taken, `refuseTheRest` refuses the others. */
export class Parameters {
  constructor(private readonly given: Map<string, string>) {}

  /** Returns a value for which empty means the default. */
  take(name: string): string | undefined {
    return this.takeGiven(name) || undefined;
  }

  private takeGiven(name: string): string | undefined {
    const value = this.given.get(name);
    this.given.delete(name);
    return value;
  }

  choice<Choice extends string>(name: string, choices: Choice[], usual: Choice): Choice {
    // As in libpq, an empty value is the default only where a choice lists it.
    const value = this.takeGiven(name) ?? usual;
    return (
      choices.find((choice) => choice === value) ??
      refuse(`needs ${name} to be one of ${choices.filter(Boolean).join(", ")}`)
    );
  }

  integer(name: string): number | undefined {
    const value = this.takeGiven(name);
    if (value === undefined) return undefined;
    return /^-?\d{1,9}$/.test(value) ? Number(value) : refuse(`needs ${name} to be a whole number`);
  }

  has(name: string): boolean {
    return !!this.given.get(name);
  }

  is(name: string, value: string): boolean {
    return this.given.get(name) === value && this.given.delete(name);
  }

  /** Returns the content of a parameter's file, or else of libpq's default file if readable. */
  file(name: string, usual: string): Buffer | undefined {
    const path = this.path(name) ?? existing(".postgresql", usual);
    if (!path) return undefined;
    try {
      return readFileSync(/* turbopackIgnore: true */ path);
    } catch (error) {
      throw refusal(`names a file in ${name} that cannot be read: ${(error as Error).message}`);
    }
  }

  /** Returns a path, relative to the project as in the service: the folder above this app. */
  path(name: string): string | undefined {
    const path = this.take(name);
    return path && resolve(/* turbopackIgnore: true */ process.cwd(), "..", path);
  }

  refuseTheRest(): void {
    for (const name of IGNORED) this.take(name);
    for (const name of IGNORED_NUMBERS) this.integer(name);
    for (const [name, [usual = "", ...others]] of Object.entries(FIXED)) {
      this.choice(name, [usual, ...others], usual);
    }
    for (const name of this.given.keys()) {
      const advice = ADVICE.get(name) ?? "check its spelling or remove it";
      refuse(
        `has the parameter ${name.replace(/[^\w.-]/g, "?")}, which is not supported: ${advice}`,
      );
    }
  }
}

/** Returns the path of a file in this user's home if it is readable. */
export function existing(...path: string[]): string | undefined {
  try {
    const file = join(homedir(), ...path);
    accessSync(file, constants.R_OK);
    return file;
  } catch {
    return undefined; // It is missing or not readable, or this user has no home.
  }
}
