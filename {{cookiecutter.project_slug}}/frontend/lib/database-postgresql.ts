import type { BetterAuthOptions } from "better-auth";
import type { getMigrations } from "better-auth/db/migration";
import { Kysely, PostgresDialect, sql } from "kysely";
import { building, variable } from "./env";
import { connect, pool, reason } from "./postgresql/pool";

const isIdentifier = (value: string) => /^(?!pg_)[a-z_][a-z0-9_]{0,62}$/.test(value);
const identifier =
  "must be lower-case letters, digits and underscores, and not begin with a digit or pg_";
const schemaName = building ? "auth" : variable("AUTH_SCHEMA", isIdentifier, identifier, "auth");

/** Better Auth's tables, in a schema of their own: the database can be the service's, too. */
export const database = {
  db: new Kysely({ dialect: new PostgresDialect({ pool: { connect, end: () => pool.end() } }) }),
  type: "postgres" as const,
  // Named in each statement. A search_path would not last, because poolers share connections.
  schemaName,
  transaction: true,
};

type Plan = Awaited<ReturnType<typeof getMigrations>>;

/** The role's privileges on the schema. */
interface Access {
  role: string;
  database: string;
  schemaIsThere: boolean;
  mayCreateSchema: boolean;
  mayUse: boolean;
  mayCreate: boolean;
}

const LOCK = 0x61757468; // An arbitrary number. All processes that migrate must use the same one.

/**
 * Creates or changes the tables that these options need, all or none of them; returns how many.
 * If nothing is missing, privileges to read and write rows are enough.
 */
export async function migrate(options: BetterAuthOptions) {
  // Not at the top of the file: the app loads it too and does not need these.
  const { getAuthTables } = await import("better-auth/db");
  const { getMigrations } = await import("better-auth/db/migration");
  const tables = Object.values(getAuthTables(options)).map(({ modelName }) => modelName);
  try {
    return await database.db.transaction().execute(async (db) => {
      await sql`SELECT pg_advisory_xact_lock(${LOCK})`.execute(db);
      const access = await readAccess(db);
      await prepareSchema(access, db);
      // Its warnings are useful only if the tables turn out to be Better Auth's.
      const warnings: string[] = [];
      const logger = { log: (_level: string, message: string) => warnings.push(message) };
      const plan = await getMigrations({ ...options, logger, database: { ...database, db } });
      await run(plan, access, db);
      await checkRights(access.role, tables, db);
      for (const warning of warnings) console.warn(warning);
      return { made: plan.toBeCreated.length, changed: plan.toBeAdded.length };
    });
  } catch (error) {
    // Only errors that the server reports have `severity`.
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
      throw lacking(
        access.role,
        "CREATE",
        `database ${access.database}`,
        `, create the schema ${schemaName}`,
      );
    }
    await db.schema.createSchema(schemaName).execute();
  }
}

async function run(
  { toBeCreated, toBeAdded, toBeAddedIndexes, compileMigrations }: Plan,
  access: Access,
  db: Kysely<unknown>,
): Promise<void> {
  // Every table of Better Auth is created with this column.
  const foreign = toBeAdded.find(({ fields }) => "createdAt" in fields);
  if (foreign) {
    const table = `${schemaName}.${foreign.table}`;
    throw new Error(`AUTH_SCHEMA must be another schema: the table ${table} is not Better Auth's`);
  }
  if (access.schemaIsThere && !access.mayCreate && toBeCreated.length + toBeAddedIndexes.length) {
    throw lacking(access.role, "CREATE", `schema ${schemaName}`);
  }
  if (toBeCreated.length + toBeAdded.length + toBeAddedIndexes.length === 0) return;
  // Better Auth's runMigrations is not used: it always runs CREATE SCHEMA, which needs the
  // privilege to do so even if the schema exists.
  const statements = await compileMigrations();
  await sql.raw(statements.replace(/^create schema [^;]*;/, "")).execute(db);
}

async function checkRights(role: string, tables: string[], db: Kysely<unknown>): Promise<void> {
  const { rows } = await sql<{ name: string; privilege: string }>`
    SELECT relname AS name, privilege
    FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
    WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = ${schemaName})
      AND relname = ANY(${tables}) AND NOT has_table_privilege(pg_class.oid, privilege)`.execute(
    db,
  );
  if (rows[0]) throw lacking(role, rows[0].privilege, `table ${schemaName}.${rows[0].name}`);
}

function lacking(role: string, privilege: string, object: string, other = ""): Error {
  return new Error(
    `the role ${role} in DATABASE_URL lacks the privilege ${privilege} on ${object}: grant it${other}, or set AUTH_SCHEMA`,
  );
}
