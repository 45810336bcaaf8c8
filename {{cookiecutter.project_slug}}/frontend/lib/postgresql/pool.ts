import { Client, type ClientConfig, Pool, type PoolClient } from "pg";
import { building, variable } from "../env";
import { storedPassword } from "./passfile";
import { parsePostgresUrl, type Route } from "./url";

const isSet = (value: string) => value !== "";
const { routes, shuffled, requiresChannelBinding, passwords, ...settings } = parsePostgresUrl(
  building ? "postgresql://unused" : variable("DATABASE_URL", isSet, "must be a postgresql:// URL"),
);

/** A connection configured by DATABASE_URL alone. Enforces channel binding if that requires it. */
class Connection extends Client {
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
    const internals = this as unknown as {
      connectionParameters: { options?: string };
      _queryable: boolean;
    };
    // If the URL has no `options`, pg would use PGOPTIONS, which poolers refuse.
    internals.connectionParameters.options = settings.options;
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
      // Read-only: the server may have become a replica in a failover. Have the pool drop the
      // connection.
      if (code === "25006") internals._queryable = false;
    });
  }
}

export const pool = new Pool({ ...settings, client_encoding: "utf8", Client: Connection });

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
    const { role, ...route } = chosen;
    const server = `${route.host}:${route.port}`;
    if (unreachable.has(server)) continue; // It would not respond without TLS either.
    try {
      Object.assign(pool.options, route);
      const client = await pool.connect();
      if (!known.has(client)) await checkRole(client, role);
      known.add(client);
      current = routes.indexOf(chosen);
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
  const { message, code } = error instanceof AggregateError ? error.errors[0] : error;
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
