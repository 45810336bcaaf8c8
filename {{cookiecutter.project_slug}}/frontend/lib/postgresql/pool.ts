import { Client, type ClientBase, type ClientConfig, Pool, type PoolClient } from "pg";
import { building, variable } from "../env";
import { storedPassword } from "./passfile";
import { parsePostgresUrl, type Route } from "./url";

const isSet = (value: string) => value !== "";
const { routes, shuffled, requiresChannelBinding, passwords, ...settings } = parsePostgresUrl(
  building ? "postgresql://unused" : variable("DATABASE_URL", isSet, "must be a postgresql:// URL"),
);

/** The internals of pg's Client that it has no other interface for. */
interface Internals {
  connectionParameters: { options?: string };
  _queryable: boolean;
}

/**
 * A connection configured by DATABASE_URL alone. Enforces channel binding if that requires it, and
 * the deadline for each statement.
 */
class Connection extends Client {
  readonly route: Route;

  constructor(config: ClientConfig = {}) {
    let offered = false;
    let verified = false;
    super({
      ...config,
      // Only with `require`: otherwise it guarantees nothing, and fails if a proxy terminates TLS.
      enableChannelBinding: requiresChannelBinding,
      password: () => {
        if (requiresChannelBinding && !offered)
          throw new Error("the server does not support channel binding");
        const host = this.host.startsWith("/") ? "localhost" : this.host;
        const key = [host, `${this.port}`, settings.database, settings.user];
        const password = settings.password ?? storedPassword(passwords, key);
        if (!password) throw new Error("the server asks for a password");
        return password;
      },
    });
    this.route = (config as { route: Route }).route;
    // If the URL has no `options`, pg would use PGOPTIONS, which poolers refuse.
    (this as unknown as Internals).connectionParameters.options = settings.options;
    // The failed statement reports the error too. Without a listener, a connection that is lost
    // while in use would end this process.
    this.on("error", () => {});
    // pg would keep a connection whose statement timed out, and queue the next statement behind it.
    const query = this.query.bind(this) as (...args: unknown[]) => Promise<unknown>;
    this.query = (async (...args: unknown[]) => {
      try {
        return await query(...args);
      } catch (error) {
        if ((error as Error).message === STATEMENT_TIMEOUT) {
          this.distrust();
          this.connection.stream.destroy();
        }
        throw error;
      }
    }) as typeof this.query;
    this.connection.on("authenticationSASL", ({ mechanisms }: { mechanisms: string[] }) => {
      offered = mechanisms.includes("SCRAM-SHA-256-PLUS");
    });
    this.connection.on("authenticationSASLFinal", () => {
      verified = offered;
    });
    this.connection.on("authenticationOk", () => {
      if (requiresChannelBinding && !verified) {
        this.connection.emit("error", new Error("the server did not use channel binding"));
      }
    });
    this.connection.on("errorMessage", ({ code }: { code: string }) => {
      // Read-only: the server may have become a replica in a failover.
      if (code === "25006") this.distrust();
    });
  }

  /**
   * Has the pool drop this connection and the idle ones to its server, each of which would fail
   * too. New connections try another server first.
   */
  private distrust(): void {
    (this as unknown as Internals)._queryable = false;
    const isHere = ({ host, port }: Route) => host === this.route.host && port === this.route.port;
    for (const other of idle) if (isHere(other.route)) other.connection.stream.destroy();
    const elsewhere = routes.findIndex((route) => !isHere(route));
    if (isHere(routes[current] as Route) && elsewhere >= 0) current = elsewhere;
  }
}

const STATEMENT_TIMEOUT = "Query read timeout"; // pg's message.

export const pool = new Pool({
  ...settings,
  client_encoding: "utf8",
  Client: Connection,
  // Measured by pg: poolers refuse `statement_timeout`, and a server that hangs ignores it.
  query_timeout: 2_000,
});

const idle = new Set<Connection>();
pool.on("acquire", (client) => idle.delete(client as ClientBase as Connection));
pool.on("release", (_error, client) => idle.add(client as ClientBase as Connection));
pool.on("remove", (client) => idle.delete(client as ClientBase as Connection));

// Without a listener, an idle connection that the server closes would end this process.
pool.on("error", (error) => console.error("A database connection was lost:", error.message));

const POOL_EXHAUSTED = "timeout exceeded when trying to connect";
const known = new WeakSet<PoolClient>();
let current = 0; // The route that worked last.

/** Returns a connection to the first reachable server with the role that the URL asks for. */
export async function connect(): Promise<PoolClient> {
  const failures: Error[] = [];
  const unreachable = new Set<string>();
  const order = shuffled
    ? inRandomOrder()
    : [...routes.slice(current), ...routes.slice(0, current)];
  for (const chosen of order) {
    const { role: _, ...route } = chosen;
    const server = `${route.host}:${route.port}`;
    if (unreachable.has(server)) continue; // It would not respond without TLS either.
    try {
      Object.assign(pool.options, route, { route: chosen });
      const client = await pool.connect();
      if (!known.has(client)) {
        // If the pool was full, it may have connected to what another caller chose meanwhile.
        const { route } = client as Connection & PoolClient;
        await checkRole(client, route.role);
        known.add(client);
        current = routes.indexOf(route);
      }
      return client;
    } catch (error) {
      if ((error as Error).message === POOL_EXHAUSTED) throw error;
      failures.push(error as Error);
      if (isUnreachable(error as NodeJS.ErrnoException)) unreachable.add(server);
    }
  }
  throw new Unreachable(failures);
}

/** Returns the routes with the hosts in random order. Roles and each host's routes keep theirs. */
function inRandomOrder(): Route[] {
  const ranks = new Map(routes.map(({ host }) => [host, Math.random()]));
  const rank = ({ role, host }: Route) => (role === "any" ? 1 : 0) + (ranks.get(host) ?? 0);
  return routes.toSorted((one, other) => rank(one) - rank(other));
}

/** Closes the connection and throws an Error if the server has another role. */
async function checkRole(client: PoolClient, role: string): Promise<void> {
  if (role === "any") return;
  try {
    const { rows } = await client.query(`
      SELECT pg_is_in_recovery() AS standby,
        pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS readonly`);
    const [{ standby, readonly }] = rows;
    const has = { primary: !standby, standby, "read-only": readonly, "read-write": !readonly };
    if (!has[role as keyof typeof has]) throw new Error(`no server is ${role}`);
  } catch (error) {
    client.release(true);
    throw error;
  }
}

function isUnreachable({ code = "", message }: NodeJS.ErrnoException): boolean {
  return (
    /^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ENOENT|ENOTFOUND|EAI_AGAIN|ETIMEDOUT)$/.test(code) ||
    /timeout/.test(message)
  );
}

const UNKNOWN_AUTHORITY = /^(SELF_SIGNED_CERT|DEPTH_ZERO_SELF_SIGNED|UNABLE_TO_)/;

/** Returns the error's message in one line. */
export function reason(error: Error): string {
  // An AggregateError has one error for each address of the host name.
  const { message, code, routine } = error instanceof AggregateError ? error.errors[0] : error;
  // From servers in any language, or from poolers.
  const refused = code === "42501" && routine === "CheckMyDatabase";
  if (refused || /permission denied for database/.test(message))
    return `the role ${settings.user} lacks the privilege CONNECT on database ${settings.database}: grant it`;
  const remedy = UNKNOWN_AUTHORITY.test(code) ? " (set sslrootcert to the authority to trust)" : "";
  return message.replace(/\s+/g, " ") + remedy;
}

/** No server could be reached. The message lists the reasons in one line, without the URL. */
class Unreachable extends Error {
  constructor(failures: Error[]) {
    const refused = failures.every((error) => "code" in error && error.code === "ECONNREFUSED");
    // If sslmode allows a connection without TLS, a server without TLS is not the reason.
    const reasons = new Set(failures.map(reason));
    if (reasons.size > 1) reasons.delete("The server does not support SSL connections");
    super(
      refused
        ? "no server responds at DATABASE_URL. `make run` in the folder above starts one for development."
        : `DATABASE_URL cannot be used: ${[...reasons].join("; ")}`,
    );
  }
}
