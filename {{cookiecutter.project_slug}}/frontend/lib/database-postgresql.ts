import type { BetterAuthOptions } from "better-auth";
import type { getAuthTables } from "better-auth/db";
import type { getMigrations } from "better-auth/db/migration";
import { Kysely, PostgresDialect, sql } from "kysely";
import { isBuild, readVariable } from "./env";
import { connect, errorReason, pool } from "./postgresql/pool";

const isIdentifier = (value: string) => /^(?!pg_)[a-z_][a-z0-9_]{0,62}$/.test(value);
const identifier =
  "must be lower-case letters, digits and underscores, and not begin with a digit or pg_";
const schemaName = isBuild ? "auth" : readVariable("AUTH_SCHEMA", isIdentifier, identifier, "auth");

/** Better Auth's tables, in their own schema, so that the database can also be the service's. */
export const database = {
  db: new Kysely({ dialect: new PostgresDialect({ pool: { connect, end: () => pool.end() } }) }),
  type: "postgres" as const,
  // Every statement names it. Poolers share connections, so a search_path would not last.
  schemaName,
  transaction: true,
};

type Schema = ReturnType<typeof getAuthTables>;
type Plan = Awaited<ReturnType<typeof getMigrations>>;

/** The role's privileges on the schema. */
interface Access {
  role: string;
  database: string;
  schemaExists: boolean;
  canCreateSchema: boolean;
  canUse: boolean;
  canCreate: boolean;
}

/** A table in the schema with the name of one of Better Auth's tables. */
interface ExistingTable {
  name: string;
  owned: boolean;
  canReference: boolean;
  /** The category of each column's type (pg_type.typcategory). */
  columns: Record<string, string>;
}

// By field type. Any string type is accepted: columns may have been changed to citext, for example.
const CATEGORIES: Record<string, string> = { string: "SUE", number: "N", boolean: "B", date: "D" };

const LOCK = 0x61757468; // An arbitrary number, the same in all processes that migrate.

/**
 * Creates or changes the tables that these options need, in one transaction. Returns how many.
 * If nothing is missing, it needs only the privileges to read and write rows.
 */
export async function migrate(options: BetterAuthOptions) {
  // Imported here because the app loads this file without needing them.
  const { getAuthTables } = await import("better-auth/db");
  const { getMigrations } = await import("better-auth/db/migration");
  const schema = getAuthTables(options);
  const tables = Object.values(schema).map(({ modelName }) => modelName);
  // Waiting for another migration or indexing a large table may take long.
  pool.options.query_timeout = 0;
  try {
    return await database.db.transaction().execute(async (db) => {
      await sql`SELECT pg_advisory_xact_lock(${LOCK})`.execute(db);
      const access = await readAccess(db);
      await prepareSchema(access, db);
      const existing = await readTables(tables, db);
      checkExistingTables(existing, schema, getAuthTables({}), options);
      const warnings: string[] = [];
      const logger = { log: (_level: string, message: string) => warnings.push(message) };
      const plan = await getMigrations({ ...options, logger, database: { ...database, db } });
      await runMigration(plan, access, existing, db);
      await checkPrivileges(access.role, tables, db);
      for (const warning of warnings) console.warn(warning);
      return { created: plan.toBeCreated.length, changed: plan.toBeAdded.length };
    });
  } catch (error) {
    // Only errors reported by the server have `severity`.
    if (!(error instanceof Error && "severity" in error && "code" in error)) throw error;
    const reason = errorReason(error);
    // An object with the name of a table to create exists already.
    if (error.code === "42P07" || error.code === "42710") throw schemaError(reason);
    const remedy = error.code === "42501" ? " (run `npm run migrate` as the tables' owner)" : "";
    throw new Error(`DATABASE_URL cannot be used: ${reason}${remedy}`);
  }
}

async function readAccess(db: Kysely<unknown>): Promise<Access> {
  const { rows } = await sql<Access>`
    SELECT current_user AS role, current_database() AS database,
      has_database_privilege(current_database(), 'CREATE') AS "canCreateSchema",
      oid IS NOT NULL AS "schemaExists",
      has_schema_privilege(oid, 'USAGE') AS "canUse",
      has_schema_privilege(oid, 'CREATE') AS "canCreate"
    FROM (SELECT 1) AS one LEFT JOIN pg_namespace ON nspname = ${schemaName}`.execute(db);
  return rows[0] as Access;
}

async function prepareSchema(access: Access, db: Kysely<unknown>): Promise<void> {
  if (access.schemaExists) {
    if (!access.canUse) throw privilegeError(access.role, "USAGE", `schema ${schemaName}`);
  } else {
    if (!access.canCreateSchema) {
      throw privilegeError(
        access.role,
        "CREATE",
        `database ${access.database}`,
        `, create the schema ${schemaName}`,
      );
    }
    await db.schema.createSchema(schemaName).execute();
  }
}

async function readTables(tables: string[], db: Kysely<unknown>): Promise<ExistingTable[]> {
  const { rows } = await sql<ExistingTable>`
    SELECT relname AS name, pg_has_role(relowner, 'USAGE') AS owned,
      has_table_privilege(pg_class.oid, 'REFERENCES') AS "canReference",
      json_object_agg(attname, typcategory) AS columns
    FROM pg_class
      JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
      JOIN pg_type ON pg_type.oid = atttypid
    WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = ${schemaName})
      AND relkind IN ('r', 'p') AND relname = ANY(${tables})
    GROUP BY pg_class.oid`.execute(db);
  return rows;
}

/**
 * Throws an Error if a table lacks a column that every version of Better Auth has: it belongs to
 * another program. Columns that options or plugins add may be missing: the migration adds them.
 */
function checkExistingTables(
  existing: ExistingTable[],
  schema: Schema,
  standard: Schema,
  { advanced }: BetterAuthOptions,
): void {
  const idType = advanced?.database?.generateId === "serial" ? "number" : "string";
  for (const [key, { modelName, fields }] of Object.entries(schema)) {
    const table = existing.find(({ name }) => name === modelName);
    if (!table) continue;
    const has = (column: string, type: string) => {
      const category = table.columns[column];
      return category !== undefined && (CATEGORIES[type] ?? category).includes(category);
    };
    const always = Object.entries(standard[key]?.fields ?? fields).filter(
      ([, { required }]) => required !== false,
    );
    const isBetterAuths = always.every(([name, { type, references }]) =>
      has(fields[name]?.fieldName ?? name, references?.field === "id" ? idType : `${type}`),
    );
    if (!has("id", idType) || !isBetterAuths) {
      throw schemaError(`the table ${schemaName}.${modelName} is not Better Auth's`);
    }
  }
}

function schemaError(found: string): Error {
  return new Error(`AUTH_SCHEMA must be another schema than ${schemaName}: ${found}`);
}

async function runMigration(
  { toBeCreated, toBeAdded, toBeAddedIndexes, compileMigrations }: Plan,
  access: Access,
  existing: ExistingTable[],
  db: Kysely<unknown>,
): Promise<void> {
  const changed = new Set([...toBeAdded, ...toBeAddedIndexes].map(({ table }) => table));
  const notOwned = existing.find(({ name, owned }) => changed.has(name) && !owned);
  if (notOwned) {
    throw new Error(
      `the role ${access.role} in DATABASE_URL must own the table ${schemaName}.${notOwned.name} to change it: run \`npm run migrate\` as its owner`,
    );
  }
  const referenced = new Set(
    [...toBeCreated, ...toBeAdded].flatMap(({ fields }) =>
      Object.values(fields).map(({ references }) => references?.model),
    ),
  );
  const notReferenceable = existing.find(
    ({ name, canReference }) => referenced.has(name) && !canReference,
  );
  if (notReferenceable)
    throw privilegeError(access.role, "REFERENCES", `table ${schemaName}.${notReferenceable.name}`);
  if (access.schemaExists && !access.canCreate && toBeCreated.length + toBeAddedIndexes.length) {
    throw privilegeError(access.role, "CREATE", `schema ${schemaName}`);
  }
  if (toBeCreated.length + toBeAdded.length + toBeAddedIndexes.length === 0) return;
  // Not Better Auth's runMigrations: it always runs CREATE SCHEMA, which requires the privilege even
  // if the schema exists.
  const statements = await compileMigrations();
  await sql.raw(statements.replace(/^create schema [^;]*;/, "")).execute(db);
}

async function checkPrivileges(role: string, tables: string[], db: Kysely<unknown>): Promise<void> {
  const { rows } = await sql<{ name: string; privilege: string }>`
    SELECT relname AS name, privilege
    FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
    WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = ${schemaName})
      AND relname = ANY(${tables}) AND NOT has_table_privilege(pg_class.oid, privilege)`.execute(
    db,
  );
  if (rows[0]) throw privilegeError(role, rows[0].privilege, `table ${schemaName}.${rows[0].name}`);
}

function privilegeError(role: string, privilege: string, object: string, other = ""): Error {
  return new Error(
    `the role ${role} in DATABASE_URL lacks the privilege ${privilege} on ${object}: grant it${other}, or set AUTH_SCHEMA`,
  );
}
