import { existsSync } from "node:fs";
import { userInfo } from "node:os";
import type { ConnectionOptions } from "node:tls";
import { type Parameters, parseParameters, reject, urlError } from "./parameters";
import { type Passwords, readPasswords } from "./passfile";
import { readTls } from "./tls";

/** One way to reach one server: a host with TLS, or without it. */
export interface Route {
  host: string;
  port: number;
  ssl: ConnectionOptions | false;
}

/** What a server must be. */
export type Requirement = "primary" | "read-write";

/** A parsed URL, with settings for node-postgres. */
export interface Target {
  /** The routes to each host, in the order to try them. */
  hosts: Route[][];
  /** Whether to try the hosts in random order instead. */
  shuffled: boolean;
  requirement: Requirement;
  user: string;
  password: string | undefined;
  passwords: Passwords;
  database: string;
  requiresChannelBinding: boolean;
  sslnegotiation: "postgres" | "direct";
  connectionTimeoutMillis: number;
  keepAlive: boolean;
  keepAliveInitialDelayMillis: number;
  application_name: string | undefined;
  options: string | undefined;
}

/**
 * Parses a PostgreSQL URL as libpq does. Throws an Error, in one line without the URL, if a part of it
 * is not supported.
 *
 * This replaces pg-connection-string, which supports only one host, gives `sslmode` another meaning
 * than libpq, and ignores `channel_binding`, `connect_timeout` and `target_session_attrs`.
 */
export function parsePostgresUrl(url: string): Target {
  const parameters = parseParameters(url);
  const target = readTarget(parameters);
  parameters.rejectUnknown();
  return target;
}

function readTarget(parameters: Parameters): Target {
  const user = parameters.take("user") ?? systemUser();
  const binding = parameters.choice("channel_binding", ["disable", "prefer", "require"], "prefer");
  // Better Auth writes, so it cannot use a replica.
  const roles = ["any", "read-write", "primary"];
  const role = parameters.choice("target_session_attrs", roles, "any");
  const balance = parameters.choice("load_balance_hosts", ["disable", "random"], "disable");
  const timeout = parameters.integer("connect_timeout") ?? 0;
  const password = parameters.take("password") || process.env.PGPASSWORD || undefined;
  const fallbackName = parameters.take("fallback_application_name");
  return {
    user,
    password,
    passwords: readPasswords(parameters, !password),
    database: parameters.take("dbname") ?? user,
    requiresChannelBinding: binding === "require",
    shuffled: balance === "random",
    // By default and with 0, libpq waits forever, which is too long for users who sign in. Node's
    // timers have a maximum of 2 ** 31 - 1.
    connectionTimeoutMillis: timeout > 0 ? Math.min(timeout * 1_000, 2 ** 31 - 1) : 5_000,
    keepAlive: parameters.integer("keepalives") !== 0,
    keepAliveInitialDelayMillis: (parameters.integer("keepalives_idle") ?? 0) * 1_000,
    application_name: parameters.take("application_name") ?? fallbackName,
    options: parameters.take("options"),
    ...readRoutes(parameters, role, binding === "require"),
  };
}

function systemUser(): string {
  try {
    return userInfo().username;
  } catch {
    throw urlError("must name a user: the system user of this process has no name");
  }
}

function readRoutes(parameters: Parameters, role: string, encrypted: boolean) {
  const { attempts, sslnegotiation } = readTls(parameters);
  const names = parameters.take("host")?.split(",") ?? [""];
  const ports = parameters.take("port")?.split(",") ?? [""];
  if (ports.length > 1 && ports.length !== names.length) reject("needs as many ports as hosts");

  const hosts = names.map((name, index): Route[] => {
    const given = ports[ports.length > 1 ? index : 0] || "5432";
    const port = /^\d{1,5}$/.test(given) ? Number(given) : 0;
    if (port < 1 || port > 65535) reject("needs ports from 1 to 65535");
    const host = name || (encrypted ? "localhost" : defaultHost(port));
    if (host.startsWith("/")) return encrypted ? [] : [{ host, port, ssl: false }];
    return attempts.filter((ssl) => ssl || !encrypted).map((ssl) => ({ host, port, ssl }));
  });
  if (!hosts.flat().length) reject("needs TLS for channel_binding=require");
  // A read-only server that is not a replica is used only if it is the only host.
  const isWritable = role === "read-write" || (role === "any" && names.length > 1);
  const requirement: Requirement = isWritable ? "read-write" : "primary";
  return { hosts: hosts.filter((routes) => routes.length), requirement, sslnegotiation };
}

/** Returns the socket folder of a local server if there is one, otherwise localhost, as in libpq. */
function defaultHost(port: number): string {
  const folders = ["/var/run/postgresql", "/tmp"];
  return folders.find((folder) => existsSync(`${folder}/.s.PGSQL.${port}`)) ?? "localhost";
}
