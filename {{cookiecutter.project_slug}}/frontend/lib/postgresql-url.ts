import { accessSync, constants, existsSync, readFileSync, statSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import { join, resolve } from "node:path";
import tls, { type ConnectionOptions, type SecureVersion } from "node:tls";

/** One way to reach one server: a host with TLS, or without it. */
export interface Route {
  host: string;
  port: number;
  ssl: ConnectionOptions | false;
  role: string;
}

/** What a URL says, in the terms of node-postgres. */
export interface Target {
  /** In the order to try them. */
  routes: Route[];
  /** Begin with any of them. */
  shuffled: boolean;
  user: string;
  password: string | undefined;
  passfile: string | undefined;
  database: string;
  max: number;
  requiresChannelBinding: boolean;
  sslnegotiation: "postgres" | "direct";
  connectionTimeoutMillis: number;
  keepAlive: boolean;
  keepAliveInitialDelayMillis: number;
  application_name: string | undefined;
  options: string | undefined;
}

const URL_PARTS =
  /^postgres(?:ql)?(?:\+asyncpg)?:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/;
const HOST_AND_PORT = /^(\[[^\]]+\]|[^:[\]]*)(?::(\d*))?$/;
const PASSFILE_LINE =
  /^((?:\\.|[^:\\])*):((?:\\.|[^:\\])*):((?:\\.|[^:\\])*):((?:\\.|[^:\\])*):(.*)$/;
const SSL_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const TLS_VERSIONS: SecureVersion[] = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
const ROLES = ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"];

// Parameters that change nothing here: of Kerberos, which is never used, details of keepalives that
// Node cannot set, and what vendors append for other drivers and poolers.
const IGNORED = new Set(
  `gssdelegation gsslib krbsrvname sslcompression keepalives_interval keepalives_count
   tcp_user_timeout pgbouncer uselibpqcompat supa statement_cache_size
   prepared_statement_cache_size prepared_statements`.split(/\s+/),
);
// Parameters with only some values that mean what happens here anyway.
const FIXED: Record<string, RegExp> = {
  client_encoding: /^(auto|utf-?8|unicode)$/i,
  gssencmode: /^(disable|prefer)$/,
  max_protocol_version: /^(3\.[0-9]|latest)$/,
  min_protocol_version: /^3\.0$/,
  sslsni: /^1$/,
};

function refusal(rule: string): Error {
  return new Error(`DATABASE_URL ${rule}`);
}

/**
 * Reads a PostgreSQL URL as libpq does. Raises an Error, in one line without the URL, for what it
 * does not understand or cannot do.
 *
 * Not pg-connection-string: it knows one host, gives `sslmode` another meaning than libpq and drops
 * `channel_binding`, `connect_timeout` and `target_session_attrs`.
 */
export function parsePostgresUrl(url: string): Target {
  // Before any message that could show a part of a password that was not encoded.
  if (/[\s#]|@.*@|:\/\/.*[/?].*@/.test(url)) {
    raise("needs blanks, @, /, ? and # in names and passwords as %20, %40, %2F, %3F and %23");
  }
  const [, user, password, hosts = "", database, query] =
    URL_PARTS.exec(url) ?? raise("must be a postgresql:// URL");
  const parts = hosts.split(",").map((part) => HOST_AND_PORT.exec(part) ?? raise("has a bad host"));
  const given = new Map<string, string>();
  const set = (name: string, value: string | undefined) => value && given.set(name, decoded(value));
  set("user", user);
  set("password", password);
  set("host", parts.map(([, host = ""]) => host.replace(/^\[(.*)\]$/, "$1")).join(","));
  set("port", parts.some(([, , port]) => port) ? parts.map((part) => part[2]).join(",") : "");
  set("dbname", database);
  for (const parameter of query?.split("&").filter(Boolean) ?? []) {
    const [name = "", ...value] = parameter.split("=");
    if (value.length !== 1) raise("needs parameters like name=value after the question mark");
    given.set(decoded(name), decoded(value[0] ?? ""));
  }

  const parameters = new Parameters(given);
  const target = readTarget(parameters);
  parameters.refuseTheRest();
  return target;
}

function raise(rule: string): never {
  throw refusal(rule);
}

function decoded(text: string): string {
  try {
    if (!text.includes("%00")) return decodeURIComponent(text);
  } catch {}
  throw refusal("has a % that does not begin a character like %40: write %25");
}

/** The parameters of a URL. Each one has to be taken, else the URL is refused. */
class Parameters {
  constructor(private readonly given: Map<string, string>) {}

  take(name: string): string | undefined {
    const value = this.given.get(name);
    this.given.delete(name);
    return value || undefined;
  }

  choice<Choice extends string>(name: string, choices: Choice[], usual: Choice): Choice {
    const value = this.take(name) ?? usual;
    return (
      choices.find((choice) => choice === value) ??
      raise(`needs ${name} to be ${choices.filter(Boolean).join(", ")}`)
    );
  }

  integer(name: string): number | undefined {
    const value = this.take(name);
    if (value === undefined) return undefined;
    return /^-?\d{1,9}$/.test(value) ? Number(value) : raise(`needs ${name} to be a whole number`);
  }

  is(name: string, value: string): boolean {
    return this.given.get(name) === value && this.given.delete(name);
  }

  /** The content of a file. Without the parameter, that of libpq's own file if it may be read. */
  file(name: string, usual: string): Buffer | undefined {
    const path = this.path(name) ?? existing(".postgresql", usual);
    if (!path) return undefined;
    try {
      return readFileSync(/* turbopackIgnore: true */ path);
    } catch (error) {
      throw refusal(`names a file in ${name} that cannot be read: ${(error as Error).message}`);
    }
  }

  /** Relative to the project, as for the service: the folder above this app. */
  path(name: string): string | undefined {
    const path = this.take(name);
    return path && resolve(/* turbopackIgnore: true */ process.cwd(), "..", path);
  }

  refuseTheRest(): void {
    for (const [name, value] of this.given) {
      if (IGNORED.has(name)) continue;
      if (name in FIXED) {
        if (!FIXED[name]?.test(value)) raise(`has a value of ${name} that cannot be honored here`);
      } else raise(`has the parameter ${name.replace(/[^\w.-]/g, "?")}, which is not supported`);
    }
  }
}

function existing(...path: string[]): string | undefined {
  try {
    const file = join(homedir(), ...path);
    accessSync(file, constants.R_OK);
    return file;
  } catch {
    return undefined; // There is none, or this user has no home.
  }
}

/** The password for this host, port, database and user in libpq's password file. */
export function storedPassword(passfile: string | undefined, key: string[]): string | undefined {
  const path = passfile ?? process.env.PGPASSFILE ?? existing(".pgpass");
  // libpq ignores a file that others may read, too.
  const mayUse = path && existsSync(path) && (statSync(path).mode & 0o077) === 0;
  if (!mayUse && passfile) throw new Error("passfile must exist, and only its owner may read it");
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

function readTarget(parameters: Parameters): Target {
  const user = parameters.take("user") ?? systemUser();
  const binding = parameters.choice("channel_binding", ["disable", "prefer", "require"], "prefer");
  const role = parameters.choice("target_session_attrs", ROLES, "any");
  const balance = parameters.choice("load_balance_hosts", ["disable", "random"], "disable");
  const timeout = parameters.integer("connect_timeout");
  const fallbackName = parameters.take("fallback_application_name");
  return {
    user,
    password: parameters.take("password") ?? process.env.PGPASSWORD,
    passfile: parameters.path("passfile"),
    database: parameters.take("dbname") ?? user,
    requiresChannelBinding: binding === "require",
    shuffled: balance === "random",
    // libpq waits for ever unless told otherwise. People who sign in do not.
    connectionTimeoutMillis: timeout === undefined ? 5_000 : Math.max(timeout, 0) * 1_000,
    keepAlive: parameters.integer("keepalives") !== 0,
    keepAliveInitialDelayMillis: (parameters.integer("keepalives_idle") ?? 0) * 1_000,
    application_name: parameters.take("application_name") ?? fallbackName,
    options: parameters.take("options"),
    max: parameters.integer("connection_limit") ?? 10,
    ...readRoutes(parameters, role, binding === "require"),
  };
}

function systemUser(): string {
  try {
    return userInfo().username;
  } catch {
    throw refusal("must name a user");
  }
}

function readRoutes(parameters: Parameters, role: string, encrypted: boolean) {
  const { ways, sslnegotiation } = readTls(parameters);
  const addresses = parameters.take("hostaddr")?.split(",");
  const names = parameters.take("host")?.split(",") ?? addresses?.map(() => "") ?? [""];
  const ports = parameters.take("port")?.split(",") ?? [""];
  if (addresses && addresses.length !== names.length) raise("needs as many hostaddr as hosts");
  if (ports.length > 1 && ports.length !== names.length) raise("needs as many ports as hosts");

  const roles = role === "prefer-standby" ? ["standby", "any"] : [role];
  const routes = roles.flatMap((role) =>
    names.flatMap((name, index): Route[] => {
      const port = Number(ports[ports.length > 1 ? index : 0] || 5432);
      if (!(port >= 1 && port <= 65535)) raise("needs ports from 1 to 65535");
      const address = addresses?.[index];
      const host = address || name || usualHost(port);
      if (host.startsWith("/")) return encrypted ? [] : [{ host, port, role, ssl: false }];
      // Verified is the name, whatever address it is reached at.
      const named = address && name ? { host: name, servername: name } : {};
      return ways
        .filter((way) => way || !encrypted)
        .map((way) => ({ host, port, role, ssl: way && { ...way, ...named } }));
    }),
  );
  if (!routes.length) raise("needs TLS for channel_binding=require");
  return { routes, sslnegotiation };
}

/** Like libpq: the socket of a server on this machine, if there is one. */
function usualHost(port: number): string {
  const folders = ["/var/run/postgresql", "/tmp"];
  return folders.find((folder) => existsSync(`${folder}/.s.PGSQL.${port}`)) ?? "localhost";
}

/** With TLS, without it, or both in the order to try. */
function readTls(parameters: Parameters) {
  const system = parameters.is("sslrootcert", "system");
  const mode = readMode(parameters, system);
  const checksName = mode === "verify-full";
  if (system && !checksName) raise("needs sslmode=verify-full for sslrootcert=system");
  const authorities = system ? publicAuthorities() : parameters.file("sslrootcert", "root.crt");
  if (mode.startsWith("verify") && !system && !authorities) {
    raise(`needs sslrootcert for sslmode=${mode}: a file, or "system" for public authorities`);
  }
  const sslnegotiation = parameters.choice("sslnegotiation", ["postgres", "direct"], "postgres");
  if (sslnegotiation === "direct" && /^(disable|allow|prefer)$/.test(mode)) {
    raise("needs sslmode=require or stronger for sslnegotiation=direct");
  }
  const ssl: ConnectionOptions = {
    secureContext: readSecureContext(parameters, authorities),
    // libpq checks against authorities wherever it has them, and the name for verify-full alone.
    rejectUnauthorized: system || authorities !== undefined,
    ...(!checksName && { checkServerIdentity: () => undefined }),
  };
  const ways: (ConnectionOptions | false)[] =
    mode === "disable"
      ? [false]
      : mode === "allow"
        ? [false, ssl]
        : mode === "prefer"
          ? [ssl, false]
          : [ssl];
  return { sslnegotiation, ways };
}

function readMode(parameters: Parameters, system: boolean): string {
  // `ssl` is JDBC's name, which libpq takes too, and SQLAlchemy's.
  const asked = parameters.choice("ssl", ["", "true", "1", "false", "0", ...SSL_MODES], "");
  const short: Record<string, string> = {
    true: "require",
    1: "require",
    false: "disable",
    0: "disable",
  };
  const usual = asked ? (short[asked] ?? asked) : system ? "verify-full" : "prefer";
  // libpq has no `no-verify`. It is node-postgres's name for what libpq calls `require`.
  return parameters.choice("sslmode", [...SSL_MODES, "no-verify"], usual);
}

/** Node's own list, with that of this machine where Node can read it (22.15 and later). */
function publicAuthorities(): string[] | undefined {
  const { getCACertificates: read } = tls as { getCACertificates?: (of: string) => string[] };
  return read && [...read("default"), ...read("system")];
}

function readSecureContext(parameters: Parameters, ca: Buffer | string[] | undefined) {
  const certificate = {
    cert: parameters.file("sslcert", "postgresql.crt"),
    key: parameters.file("sslkey", "postgresql.key"),
    passphrase: parameters.take("sslpassword"),
  };
  const minVersion = parameters.choice("ssl_min_protocol_version", TLS_VERSIONS, "TLSv1.2");
  const maxVersion = parameters.choice("ssl_max_protocol_version", TLS_VERSIONS, "TLSv1.3");
  if (minVersion > maxVersion) raise("needs ssl_min_protocol_version below the max");
  const options = {
    ca,
    crl: parameters.file("sslcrl", "root.crl"),
    minVersion,
    maxVersion,
    ...(parameters.choice("sslcertmode", ["allow", "disable"], "allow") === "allow" && certificate),
  };
  try {
    return tls.createSecureContext(options);
  } catch (error) {
    throw refusal(`has certificates or keys that do not fit: ${(error as Error).message}`);
  }
}
