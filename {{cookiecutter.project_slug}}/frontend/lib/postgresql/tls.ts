import { X509Certificate } from "node:crypto";
import tls, { type ConnectionOptions, type SecureVersion } from "node:tls";
import { type Parameters, reject, urlError } from "./parameters";

const SSL_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const TLS_VERSIONS: (SecureVersion | "")[] = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", ""];

/** Returns the attempts to make, in order: TLS options, or false for a connection without TLS. */
export function readTls(parameters: Parameters) {
  const system = parameters.is("sslrootcert", "system");
  const mode = readMode(parameters, system);
  const checksName = mode === "verify-full";
  if (system && !checksName) reject("needs sslmode=verify-full for sslrootcert=system");
  const authorities = system ? publicAuthorities() : parameters.file("sslrootcert", "root.crt");
  if (mode.startsWith("verify") && !system && !authorities) {
    reject(`needs sslrootcert for sslmode=${mode}: a file, or "system" for public authorities`);
  }
  const sslnegotiation = parameters.choice("sslnegotiation", ["postgres", "direct"], "postgres");
  if (sslnegotiation === "direct" && /^(disable|allow|prefer)$/.test(mode)) {
    reject("needs sslmode=require or stronger for sslnegotiation=direct");
  }
  const ssl: ConnectionOptions = {
    secureContext: readSecureContext(parameters, authorities),
    // As in libpq: verify the certificate if there are authorities, the name only with verify-full.
    rejectUnauthorized: system || authorities !== undefined,
    ...(!checksName && { checkServerIdentity: () => undefined }),
  };
  const attempts: (ConnectionOptions | false)[] =
    mode === "disable"
      ? [false]
      : mode === "allow"
        ? [false, ssl]
        : mode === "prefer"
          ? [ssl, false]
          : [ssl];
  return { sslnegotiation, attempts };
}

function readMode(parameters: Parameters, system: boolean): string {
  // JDBC and SQLAlchemy call it `ssl`, a name that libpq accepts, too.
  const unset = system ? "verify-full" : "prefer";
  const asked = parameters.choice("ssl", ["true", "1", "false", "0", ...SSL_MODES], unset);
  const short: Record<string, string> = {
    true: "require",
    1: "require",
    false: "disable",
    0: "disable",
  };
  // `no-verify` is node-postgres's name for libpq's `require`.
  return parameters.choice("sslmode", [...SSL_MODES, "no-verify"], short[asked] ?? asked);
}

/** Returns Node's own authorities and, from Node 22.15 on, those of the system. */
function publicAuthorities(): string[] | undefined {
  const { getCACertificates: read } = tls as { getCACertificates?: (of: string) => string[] };
  return read && [...read("default"), ...read("system")];
}

function readSecureContext(parameters: Parameters, ca: Buffer | string[] | undefined) {
  const hasKey = parameters.has("sslkey");
  const cert = parameters.file("sslcert", "postgresql.crt");
  if (hasKey && !cert) reject("needs sslcert for sslkey");
  const certificate = {
    cert,
    // One file may contain both.
    key: parameters.file("sslkey", "postgresql.key") ?? cert,
    passphrase: parameters.take("sslpassword"),
  };
  const minVersion = parameters.choice("ssl_min_protocol_version", TLS_VERSIONS, "") || "TLSv1.2";
  const maxVersion = parameters.choice("ssl_max_protocol_version", TLS_VERSIONS, "") || "TLSv1.3";
  if (minVersion > maxVersion) {
    reject("needs ssl_min_protocol_version not above ssl_max_protocol_version");
  }
  const options = {
    ca,
    crl: parameters.file("sslcrl", "root.crl"),
    minVersion,
    maxVersion,
    ...(parameters.choice("sslcertmode", ["allow", "disable"], "allow") === "allow" && certificate),
  };
  try {
    if (Buffer.isBuffer(ca)) new X509Certificate(ca); // Node ignores a file without certificates.
    return tls.createSecureContext(options);
  } catch (error) {
    throw urlError(`has certificates or keys that cannot be used: ${(error as Error).message}`);
  }
}
