import type { BetterAuthOptions } from "better-auth";
import type { getMigrations } from "better-auth/db/migration";
import { Kysely, PostgresDialect, sql } from "kysely";
import { Client, type ClientConfig, Pool, type PoolClient } from "pg";
import { building, variable } from "./env";
import { parsePostgresUrl, type Route, storedPassword } from "./postgresql-url";

const isIdentifier = (value: string) => /^(?!pg_)[a-z_][a-z0-9_]{0,62}$/.test(value);
const identifier = "must be a name of lower-case letters, digits and underscores, not pg_…";
const schemaName = building ? "auth" : variable("AUTH_SCHEMA", isIdentifier, identifier, "auth");

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

const pool = new Pool({ ...settings, client_encoding: "utf8", Client: Connection });

// Without a listener, an idle connection that the server closes would end this process.
pool.on("error", (error) => console.error("A database connection was lost:", error.message));

const POOL_EXHAUSTED = "timeout exceeded when trying to connect";
const known = new WeakSet<PoolClient>();
let current = 0; // The route that worked last.

/** A connection to the first server that can be reached and has the role that the URL asks for. */
async function connect(): Promise<PoolClient> {
  const failures: Error[] = [];
  const away = new Set<string>();
  const first = shuffled ? Math.floor(Math.random() * routes.length) : current;
  for (const index of routes.map((_, step) => (first + step) % routes.length)) {
    const { role, ...route } = routes[index] as Route;
    const server = `${route.host}:${route.port}`;
    if (away.has(server)) continue; // Without TLS it would not answer either.
    try {
      Object.assign(pool.options, route);
      const client = await pool.connect();
      if (!known.has(client)) await checkRole(client, role);
      known.add(client);
      current = index;
      return client;
    } catch (error) {
      if ((error as Error).message === POOL_EXHAUSTED) throw error;
      failures.push(error as Error);
      if (isAway(error as NodeJS.ErrnoException)) away.add(server);
    }
  }
  throw new Unreachable(failures);
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

function reason(error: Error): string {
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

/** Better Auth's tables, in a schema of their own: one database can hold the service's too. */
export const database = {
  db: new Kysely({ dialect: new PostgresDialect({ pool: { connect, end: () => pool.end() } }) }),
  type: "postgres" as const,
  // In each statement. Poolers share connections, so a search_path would not last.
  schemaName,
  transaction: true,
};

type Plan = Awaited<ReturnType<typeof getMigrations>>;

/** What this role may do with the schema. */
interface Access {
  role: string;
  database: string;
  schemaIsThere: boolean;
  mayCreateSchema: boolean;
  mayUse: boolean;
  mayCreate: boolean;
}

const LOCK = 0x61757468; // Any number that all who migrate agree on.

/**
 * Makes or changes the tables that these options need, all of them or none; returns how many.
 * Where nothing is missing, the right to read and write rows is enough.
 */
export async function migrate(options: BetterAuthOptions) {
  // Not at the top, which the app loads too.
  const { getAuthTables } = await import("better-auth/db");
  const { getMigrations } = await import("better-auth/db/migration");
  const tables = Object.values(getAuthTables(options)).map(({ modelName }) => modelName);
  try {
    return await database.db.transaction().execute(async (db) => {
      await sql`SELECT pg_advisory_xact_lock(${LOCK})`.execute(db);
      const access = await readAccess(db);
      await prepareSchema(access, db);
      // Its warnings are of use once it is clear that the tables are Better Auth's.
      const warnings: string[] = [];
      const logger = { log: (_level: string, message: string) => warnings.push(message) };
      const plan = await getMigrations({ ...options, logger, database: { ...database, db } });
      await run(plan, access, db);
      await checkRights(access.role, tables, db);
      for (const warning of warnings) console.warn(warning);
      return { made: plan.toBeCreated.length, changed: plan.toBeAdded.length };
    });
  } catch (error) {
    // `severity` is on errors that the server reports.
    if (!(error instanceof Error && "severity" in error)) throw error;
    throw new Error(`DATABASE_URL cannot be used: ${reason(error)}`);
  }
}

async function readAccess(db: Kysely<unknown>): Promise<Access> {
  const { rows } = await sql<Access>`
    SELECT current_user AS role, current_database() AS database,
      has_database_privilege(current_database(), 'CREATE') AS "mayCreateSchema",
      oid IS NOT NULL AS "schemaIsThere",
      has_schema_privilege(oid, 'USAGE') AS "mayUse",
      has_schema_privilege(oid, 'CREATE') AS "mayCreate"
    FROM (SELECT 1) AS one LEFT JOIN pg_namespace ON nspname = ${schemaName}`.execute(db);
  return rows[0] as Access;
}

async function prepareSchema(access: Access, db: Kysely<unknown>): Promise<void> {
  if (access.schemaIsThere) {
    if (!access.mayUse) throw lacking(access.role, "USAGE", `schema ${schemaName}`);
  } else {
    if (!access.mayCreateSchema) {
      throw lacking(access.role, "CREATE", `database ${access.database}`, ` or make ${schemaName}`);
    }
    await db.schema.createSchema(schemaName).execute();
  }
}

async function run(
  { toBeCreated, toBeAdded, toBeAddedIndexes, compileMigrations }: Plan,
  access: Access,
  db: Kysely<unknown>,
): Promise<void> {
  // Each table of Better Auth has this column from the beginning.
  const stranger = toBeAdded.find(({ fields }) => "createdAt" in fields);
  if (stranger) {
    const table = `${schemaName}.${stranger.table}`;
    throw new Error(`AUTH_SCHEMA must be another schema: the table ${table} is not Better Auth's`);
  }
  if (access.schemaIsThere && !access.mayCreate && toBeCreated.length + toBeAddedIndexes.length) {
    throw lacking(access.role, "CREATE", `schema ${schemaName}`);
  }
  if (toBeCreated.length + toBeAdded.length + toBeAddedIndexes.length === 0) return;
  // Not Better Auth's runMigrations: it always creates the schema, which takes a right to do so
  // even where the schema exists.
  const statements = await compileMigrations();
  await sql.raw(statements.replace(/^create schema [^;]*;/, "")).execute(db);
}

async function checkRights(role: string, tables: string[], db: Kysely<unknown>): Promise<void> {
  const { rows } = await sql<{ name: string; privilege: string }>`
    SELECT relname AS name, privilege
    FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
    WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = ${schemaName}) AND relname = ANY(${tables})
      AND NOT has_table_privilege(pg_class.oid, privilege)`.execute(db);
  if (rows[0]) throw lacking(role, rows[0].privilege, `table ${schemaName}.${rows[0].name}`);
}

function lacking(role: string, privilege: string, object: string, other = ""): Error {
  return new Error(
    `the role ${role} in DATABASE_URL lacks the privilege ${privilege} on ${object}: grant it${other}, or set AUTH_SCHEMA`,
  );
}
