/** DATABASE_URL: parsed as by libpq, and rejected if a part is not supported. */
import { describe, expect, test, vi } from "vitest";
import { findPassword } from "@/lib/postgresql/passfile";
import { parsePostgresUrl } from "@/lib/postgresql/url";

const parse = (rest: string) => parsePostgresUrl(`postgresql://${rest}`);
const hosts = (rest: string) => parse(rest).hosts.map(([route]) => [route?.host, route?.port]);
const urlError = (rest: string) => {
  try {
    parse(rest);
  } catch (error) {
    return (error as Error).message;
  }
};

test("a complete URL is parsed into its parts", () => {
  expect(parse("ann:p%40ss@db.example.com:6432/tasks?application_name=web")).toMatchObject({
    user: "ann",
    password: "p@ss",
    database: "tasks",
    application_name: "web",
    requirement: "primary",
  });
  expect(hosts("ann:p%40ss@db.example.com:6432/tasks")).toEqual([["db.example.com", 6432]]);
});

test("a URL without a database means the one with the name of the user", () => {
  expect(parse("ann@localhost").database).toBe("ann");
});

test("PGPASSWORD is the password for a URL without one", () => {
  vi.stubEnv("PGPASSWORD", "from the environment");

  expect(parse("ann@localhost").password).toBe("from the environment");
  expect(parse("ann:own@localhost").password).toBe("own");
});

test.each([
  [
    "ann@one,two:6432/tasks",
    [
      ["one", 5432],
      ["two", 6432],
    ],
  ],
  [
    "ann@one:1,two:2/tasks",
    [
      ["one", 1],
      ["two", 2],
    ],
  ],
  ["ann@[::1]:6432/tasks", [["::1", 6432]]],
  ["ann@/tasks?host=%2Frun%2Fpostgresql", [["/run/postgresql", 5432]]],
  ["ann@ignored/tasks?host=one&port=6432", [["one", 6432]]],
])("%s has the hosts %j", (rest, expected) => {
  expect(hosts(rest)).toEqual(expected);
});

describe("sslmode", () => {
  test.each([
    ["disable", [false]],
    ["allow", [false, true]],
    ["prefer", [true, false]],
    ["require", [true]],
  ])("%s means these attempts, with TLS: %j", (mode, attempts) => {
    const [routes = []] = parse(`ann@db/tasks?sslmode=${mode}`).hosts;

    expect(routes.map(({ ssl }) => ssl !== false)).toEqual(attempts);
  });

  test("verify-full with public authorities checks certificate and name", () => {
    const [[route] = []] = parse("ann@db/tasks?sslmode=verify-full&sslrootcert=system").hosts;

    expect(route?.ssl).toMatchObject({ rejectUnauthorized: true });
    expect(route?.ssl).not.toHaveProperty("checkServerIdentity");
  });

  test("channel_binding=require leaves only attempts with TLS", () => {
    const { hosts, requiresChannelBinding } = parse("ann@db/tasks?channel_binding=require");

    expect(requiresChannelBinding).toBe(true);
    expect(hosts.flat().every(({ ssl }) => ssl)).toBe(true);
  });
});

test.each([
  ["", 5_000],
  ["?connect_timeout=0", 5_000],
  ["?connect_timeout=12", 12_000],
])("'%s' means a connect timeout of %i ms", (query, milliseconds) => {
  expect(parse(`ann@db/tasks${query}`).connectionTimeoutMillis).toBe(milliseconds);
});

test.each([
  ["ann:p@ss-hush@db/tasks", "%40"],
  ["ann:pass hush@db/tasks", "%20"],
  ["ann:pass-hush%@db/tasks", "write %25 for a %"],
  ["ann:pass-hush@db:99999/tasks", "ports from 1 to 65535"],
  ["ann:pass-hush@db/tasks?sslmode=always", "sslmode to be one of disable, allow, prefer"],
  ["ann:pass-hush@db/tasks?sslmode=verify-full&sslrootcert=/none", "sslrootcert"],
  ["ann:pass-hush@db/tasks?connect_timeout=soon", "connect_timeout to be a whole number"],
  ["ann:pass-hush@db/tasks?schema=auth", "schema, which is not supported: set AUTH_SCHEMA"],
  ["ann:pass-hush@db/tasks?slmode=require", "slmode, which is not supported: check its spelling"],
])("%s is rejected with a one-line message without the password", (rest, rule) => {
  expect(urlError(rest)).toMatch(/^DATABASE_URL /);
  expect(urlError(rest)).toContain(rule);
  expect(urlError(rest)).not.toMatch(/hush|\n/);
});

test("another scheme is rejected", () => {
  expect(() => parsePostgresUrl("mysql://ann@db/tasks")).toThrow("must be a postgresql:// URL");
});

test("the password comes from the first matching line of the password file", () => {
  const lines = [
    ["db", "5432", "tasks", "bob", "bob's"],
    ["*", "*", "*", "ann", "ann's"],
    ["db", "5432", "tasks", "ann", "too late"],
  ];

  expect(findPassword(lines, ["db", "5432", "tasks", "ann"])).toBe("ann's");
  expect(findPassword(lines, ["db", "5432", "tasks", "eve"])).toBeUndefined();
});
