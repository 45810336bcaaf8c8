import { existsSync } from "node:fs";
import { userInfo } from "node:os";
import type { ConnectionOptions } from "node:tls";
import { type Parameters, refuse, readParameters, refusal } from "./parameters";
import { readTls } from "./tls";

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

const ROLES = ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"];

/**
 * Reads a PostgreSQL URL as libpq does. Raises an Error, in one line without the URL, for what it
 * does not understand or cannot do.
 *
 * Not pg-connection-string: it knows one host, gives `sslmode` another meaning than libpq and drops
 * `channel_binding`, `connect_timeout` and `target_session_attrs`.
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
  if (addresses && addresses.length !== names.length) refuse("needs as many hostaddr as hosts");
  if (ports.length > 1 && ports.length !== names.length) refuse("needs as many ports as hosts");

  const roles = role === "prefer-standby" ? ["standby", "any"] : [role];
  const routes = roles.flatMap((role) =>
    names.flatMap((name, index): Route[] => {
      const port = Number(ports[ports.length > 1 ? index : 0] || 5432);
      if (!(port >= 1 && port <= 65535)) refuse("needs ports from 1 to 65535");
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
  if (!routes.length) refuse("needs TLS for channel_binding=require");
  return { routes, sslnegotiation };
}

/** Like libpq: the socket of a server on this machine, if there is one. */
function usualHost(port: number): string {
  const folders = ["/var/run/postgresql", "/tmp"];
  return folders.find((folder) => existsSync(`${folder}/.s.PGSQL.${port}`)) ?? "localhost";
}
