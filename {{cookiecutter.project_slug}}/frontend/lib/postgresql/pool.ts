import {
  Client,
  type ClientBase,
  type ClientConfig,
  DatabaseError,
  Pool,
  type PoolClient,
} from "pg";
import { isBuild, readVariable } from "../env";
import { findPassword } from "./passfile";
import { race } from "./race";
import { parsePostgresUrl, type Route } from "./url";

const isSet = (value: string) => value !== "";
const { hosts, shuffled, requirement, requiresChannelBinding, passwords, ...settings } =
  parsePostgresUrl(
    isBuild
      ? "postgresql://unused"
      : readVariable("DATABASE_URL", isSet, "must be a postgresql:// URL"),
  );

/** Internals of pg's Client that have no public interface. */
interface Internals {
  connectionParameters: { options?: string };
  _queryable: boolean;
}

interface Config extends ClientConfig {
  route?: Route;
  /** In milliseconds. */
  connectTimeout?: number;
}

/**
 * A connection that only DATABASE_URL configures. It enforces channel binding if the URL requires
 * it, and closes after a statement timeout.
 */
class Connection extends Client {
  readonly route: Route;

  constructor(config: Config = {}) {
    let offered = false;
    let verified = false;
    super({
      ...config,
      connectionTimeoutMillis: config.connectTimeout ?? settings.connectionTimeoutMillis,
      // Only with `require`: otherwise it guarantees nothing and fails behind a proxy that ends TLS.
      enableChannelBinding: requiresChannelBinding,
      password: () => {
        if (requiresChannelBinding && !offered)
          throw new Error("the server does not support channel binding");
        const host = this.host.startsWith("/") ? "localhost" : this.host;
        const key = [host, `${this.port}`, settings.database, settings.user];
        const password = settings.password ?? findPassword(passwords, key);
        if (!password) throw new Error("the server asks for a password");
        return password;
      },
    });
    this.route = config.route as Route;
    // If the URL has no `options`, pg would use PGOPTIONS, which poolers refuse.
    (this as unknown as Internals).connectionParameters.options = settings.options;
    // The failed statement reports the error, too. Without a listener, losing a connection that is
    // in use would end this process.
    this.on("error", () => {});
    // pg would keep a connection whose statement timed out, and queue the next statement behind it.
    const query = this.query.bind(this) as (...args: unknown[]) => Promise<unknown>;
    this.query = (async (...args: unknown[]) => {
      try {
        return await query(...args);
      } catch (error) {
        if ((error as Error).message === STATEMENT_TIMEOUT) {
          this.discard();
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
      // The server may have become a replica in a failover.
      if (code === READ_ONLY) this.discard();
    });
  }

  /**
   * Makes the pool close this connection and all idle ones to the same server, which would fail, too.
   * New connections try another server first.
   */
  private discard(): void {
    (this as unknown as Internals)._queryable = false;
    for (const other of idle) {
      if (server(other.route) === server(this.route)) other.connection.stream.destroy();
    }
    forgetPrimary(this.route);
  }
}

const STATEMENT_TIMEOUT = "Query read timeout"; // pg's message.
const READ_ONLY = "25006"; // PostgreSQL's code.

export const pool = new Pool({
  ...settings,
  client_encoding: "utf8",
  Client: Connection,
  // Measured by pg: poolers reject `statement_timeout`, and a server that hangs ignores it.
  query_timeout: 2_000,
});

const idle = new Set<Connection>();
pool.on("acquire", (client) => idle.delete(client as ClientBase as Connection));
pool.on("release", (_error, client) => idle.add(client as ClientBase as Connection));
pool.on("remove", (client) => idle.delete(client as ClientBase as Connection));

// Without a listener, an idle connection that the server closes would end this process.
pool.on("error", (error) => console.error("A database connection was lost:", error.message));

const POOL_EXHAUSTED = "timeout exceeded when trying to connect";
// Milliseconds that a known primary has to respond if there are other hosts.
const KNOWN_PRIMARY_TIMEOUT = 1_000;
const verifiedClients = new WeakSet<PoolClient>();
const failed = new Set<string>(); // Hosts that failed last time. They are tried last.
let primary: Promise<Route> | undefined; // The route to it, or the search for it.

/** Returns a connection to the primary: the server among the hosts of the URL that can write. */
export async function connect(): Promise<PoolClient> {
  const known = primary;
  const route = await (known ?? findPrimary());
  try {
    return await open(route, known && hosts.length > 1 ? KNOWN_PRIMARY_TIMEOUT : undefined);
  } catch (error) {
    if (!known || (error as Error).message === POOL_EXHAUSTED) throw error;
    forgetPrimary(route, known);
    return open(await (primary ?? findPrimary()));
  }
}

/** Returns a connection from the pool. New connections use this route. */
async function open(route: Route, connectTimeout?: number): Promise<PoolClient> {
  Object.assign(pool.options, route, { route, connectTimeout });
  const client = await pool.connect();
  if (verifiedClients.has(client)) return client;
  try {
    await checkRole(client);
  } catch (error) {
    client.release(true);
    throw error;
  }
  verifiedClients.add(client);
  return client;
}

/** Makes the next connection look for the primary again, and try this host last. */
function forgetPrimary(route: Route, known = primary): void {
  failed.add(server(route));
  if (primary === known) primary = undefined;
}

/** Finds the primary. Concurrent callers share one search. */
function findPrimary(): Promise<Route> {
  const order = shuffled ? hosts.toSorted(() => Math.random() - 0.5) : hosts;
  const rank = ([route]: Route[]) => Number(failed.has(server(route as Route)));
  const searching = race(
    order.toSorted((one, other) => rank(one) - rank(other)),
    probe,
    isPermanent,
  );
  const found = searching.catch((error: AggregateError) => {
    if (primary === found) primary = undefined;
    throw new NoPrimaryError(error.errors);
  });
  primary = found;
  return found;
}

/** Returns the first route on which this host responds and is the primary. */
async function probe(routes: Route[], signal: AbortSignal): Promise<Route> {
  const errors: Error[] = [];
  for (const route of routes) {
    const client = new Connection({ ...pool.options, ...route, route, connectTimeout: undefined });
    const disconnect = () => client.connection.stream.destroy();
    signal.addEventListener("abort", disconnect);
    try {
      await client.connect();
      await checkRole(client);
      failed.delete(server(route));
      return route;
    } catch (error) {
      errors.push(error as Error);
      // The result would be the same without TLS.
      if (signal.aborted || isPermanentForHost(error as Error)) break;
    } finally {
      disconnect();
    }
  }
  failed.add(server(routes[0] as Route));
  throw new HostError(routes[0] as Route, errors);
}

function server({ host, port }: Route): string {
  return `${host}:${port}`;
}

/** Throws an Error if the server is read-only. Asks it: what a pooler reports may be outdated. */
async function checkRole(client: ClientBase): Promise<void> {
  const { rows } = await client.query(`
    SELECT pg_is_in_recovery() AS replica, current_setting('transaction_read_only') AS readonly`);
  const [{ replica, readonly }] = rows;
  const unsuitable = (reason: string) => Object.assign(new Error(reason), { code: READ_ONLY });
  if (replica) throw unsuitable("the server is a replica");
  if (requirement === "read-write" && readonly === "on")
    throw unsuitable("the server is read-only");
}

/** Returns whether another attempt at the same host, with or without TLS, cannot succeed. */
function isPermanentForHost({ code = "", message }: NodeJS.ErrnoException): boolean {
  return (
    /^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ENOENT|ENOTFOUND|EAI_AGAIN|ETIMEDOUT)$/.test(code) ||
    code === READ_ONLY ||
    /timeout/.test(message)
  );
}

/** Returns whether a server rejects this user. As in libpq, no other host is then tried. */
function isPermanent(error: unknown): boolean {
  return (error as HostError).errors.some(
    // These classes of errors concern only this server: it shuts down, is full, or is a replica.
    (each) => each instanceof DatabaseError && !/^(08|25|53|57)/.test(each.code ?? ""),
  );
}

const UNKNOWN_AUTHORITY = /^(SELF_SIGNED_CERT|DEPTH_ZERO_SELF_SIGNED|UNABLE_TO_)/;

/** Returns the error's message in one line. */
export function errorReason(error: Error): string {
  // An AggregateError has one error for each address of the host name.
  const { message, code, routine } = error instanceof AggregateError ? error.errors[0] : error;
  // Servers report this in any language, poolers without the routine.
  const refused = code === "42501" && routine === "CheckMyDatabase";
  if (refused || /permission denied for database/.test(message))
    return `the role ${settings.user} lacks the privilege CONNECT on database ${settings.database}: grant it`;
  const remedy = UNKNOWN_AUTHORITY.test(code) ? " (set sslrootcert to the authority to trust)" : "";
  return message.replace(/\s+/g, " ") + remedy;
}

/** A host that is not the primary, or cannot be reached. */
class HostError extends Error {
  constructor(
    readonly route: Route,
    readonly errors: Error[],
  ) {
    const reasons = new Set(errors.map(errorReason));
    // If sslmode allows a connection without TLS, a server without TLS is not the reason.
    if (reasons.size > 1) reasons.delete("The server does not support SSL connections");
    super([...reasons].join("; "));
  }
}

/** No server could be used. The message lists the reasons in one line, without the URL. */
class NoPrimaryError extends Error {
  constructor(failures: HostError[]) {
    const errors = failures.flatMap((failure) => failure.errors);
    const refused = errors.every((error) => "code" in error && error.code === "ECONNREFUSED");
    const [first] = failures;
    const reasons = failures.map(({ route, message }) => `${server(route)}: ${message}`).join("; ");
    super(
      refused
        ? "no server responds at DATABASE_URL. `make run` in the folder above starts one for development."
        : `DATABASE_URL cannot be used: ${hosts.length > 1 ? reasons : first?.message}`,
    );
  }
}
