import { Client, type ClientConfig, Pool, type PoolClient } from "pg";
import { building, variable } from "../env";
import { storedPassword } from "./passfile";
import { parsePostgresUrl, type Route } from "./url";

const isSet = (value: string) => value !== "";
const { routes, shuffled, requiresChannelBinding, passfile, ...settings } = parsePostgresUrl(
  building ? "postgresql://unused" : variable("DATABASE_URL", isSet, "must be a postgresql:// URL"),
);

/** A connection that follows DATABASE_URL alone, and insists on channel binding if that does. */
class Connection extends Client {
  constructor(config: ClientConfig = {}) {
    let offered = false;
    let verified = false;
    super({
      ...config,
      // Without `require` it would promise nothing, and fail where a proxy ends TLS.
      enableChannelBinding: requiresChannelBinding,
      password: () => {
        if (requiresChannelBinding && !offered)
          throw new Error("the server has no channel binding");
        const host = this.host.startsWith("/") ? "localhost" : this.host;
        const key = [host, `${this.port}`, settings.database, settings.user];
        const password = settings.password ?? storedPassword(passfile, key);
        if (!password) throw new Error("the server asks for a password");
        return password;
      },
    });
    const internals = this as unknown as {
      connectionParameters: { options?: string };
      _queryable: boolean;
    };
    // Without `options` in the URL, pg takes PGOPTIONS. Poolers refuse it.
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
      // Read-only: after a failover this may be a replica now. The pool then drops the connection.
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

/** A connection to the first server that can be reached and has the role that the URL asks for. */
export async function connect(): Promise<PoolClient> {
  const failures: Error[] = [];
  const away = new Set<string>();
  const order = shuffled
    ? inRandomOrder()
    : [...routes.slice(current), ...routes.slice(0, current)];
  for (const chosen of order) {
    const { role, ...route } = chosen;
    const server = `${route.host}:${route.port}`;
    if (away.has(server)) continue; // Without TLS it would not answer either.
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
      if (isAway(error as NodeJS.ErrnoException)) away.add(server);
    }
  }
  throw new Unreachable(failures);
}

/** Hosts in random order. The roles to look for keep theirs, and the ways to reach a host. */
function inRandomOrder(): Route[] {
  const ranks = new Map(routes.map(({ host }) => [host, Math.random()]));
  const rank = ({ role, host }: Route) => (role === "any" ? 1 : 0) + (ranks.get(host) ?? 0);
  return routes.toSorted((one, other) => rank(one) - rank(other));
}

/** Raises an Error, and closes the connection, if the server has another role. */
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

function isAway({ code = "", message }: NodeJS.ErrnoException): boolean {
  return (
    /^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ENOENT|ENOTFOUND|EAI_AGAIN|ETIMEDOUT)$/.test(code) ||
    /timeout/.test(message)
  );
}

/** The error's message, in one line. */
export function reason(error: Error): string {
  // Node tries each address of a name.
  const { message } = error instanceof AggregateError ? error.errors[0] : error;
  return message.replace(/\s+/g, " ");
}

/** No server could be reached. The message has the reason of each in one line, without the URL. */
class Unreachable extends Error {
  constructor(failures: Error[]) {
    const refused = failures.every((error) => "code" in error && error.code === "ECONNREFUSED");
    // A server without TLS is no failure where sslmode allows to do without it.
    const reasons = new Set(failures.map(reason));
    if (reasons.size > 1) reasons.delete("The server does not support SSL connections");
    super(
      refused
        ? "nothing answers at DATABASE_URL: `make run` in the folder above starts a server for development"
        : `DATABASE_URL cannot be used: ${[...reasons].join("; ")}`,
    );
  }
}
