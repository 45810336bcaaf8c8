import { existsSync } from "node:fs";
import { userInfo } from "node:os";
import type { ConnectionOptions } from "node:tls";
import { type Passwords, readPasswords } from "./passfile";
import { type Parameters, refuse, readParameters, refusal } from "./parameters";
import { readTls } from "./tls";

/** One way to reach one server: a host with TLS, or without it. */
export interface Route {
  host: string;
  port: number;
  ssl: ConnectionOptions | false;
}

/** What a server must be to be used. */
export type Requirement = "primary" | "read-write";

/** The content of a URL, as settings for node-postgres. */
export interface Target {
  /** The routes to each host, all in the order to try them. */
  hosts: Route[][];
  /** Try the hosts in random order instead. */
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
 * Parses a PostgreSQL URL as libpq does. Throws an Error, in one line without the URL, for anything
 * that it does not support.
 *
 * pg-connection-string would not do: it supports one host, gives `sslmode` another meaning than
 * libpq and ignores `channel_binding`, `connect_timeout` and `target_session_attrs`.
 */
export function parsePostgresUrl(url: string): Target {
  const parameters = readParameters(url);
  const target = readTarget(parameters);
  parameters.refuseTheRest();
  return target;
}

function readTarget(parameters: Parameters): Target {
  const user = parameters.take("user") ?? systemUser();
  const binding = parameters.choice("channel_binding", ["disable", "prefer", "require"], "prefer");
  // Better Auth writes, so a replica is of no use.
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
    // By default, and with 0, libpq waits forever. People who sign in would not. Node's timers
    // count to 2 ** 31 - 1.
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
    throw refusal("must name a user: the system user of this process has no name");
  }
}

function readRoutes(parameters: Parameters, role: string, encrypted: boolean) {
  const { ways, sslnegotiation } = readTls(parameters);
  const names = parameters.take("host")?.split(",") ?? [""];
  const ports = parameters.take("port")?.split(",") ?? [""];
  if (ports.length > 1 && ports.length !== names.length) refuse("needs as many ports as hosts");

  const hosts = names.map((name, index): Route[] => {
    const given = ports[ports.length > 1 ? index : 0] || "5432";
    const port = /^\d{1,5}$/.test(given) ? Number(given) : 0;
    if (port < 1 || port > 65535) refuse("needs ports from 1 to 65535");
    const host = name || (encrypted ? "localhost" : usualHost(port));
    if (host.startsWith("/")) return encrypted ? [] : [{ host, port, ssl: false }];
    return ways.filter((ssl) => ssl || !encrypted).map((ssl) => ({ host, port, ssl }));
  });
  if (!hosts.flat().length) refuse("needs TLS for channel_binding=require");
  // A read-only server that is not a replica is used only if there is no other host to try.
  const isWritable = role === "read-write" || (role === "any" && names.length > 1);
  const requirement: Requirement = isWritable ? "read-write" : "primary";
  return { hosts: hosts.filter((routes) => routes.length), requirement, sslnegotiation };
}

/** Returns the socket folder of a local server if there is one, else localhost, as libpq does. */
function usualHost(port: number): string {
  const folders = ["/var/run/postgresql", "/tmp"];
  return folders.find((folder) => existsSync(`${folder}/.s.PGSQL.${port}`)) ?? "localhost";
}
