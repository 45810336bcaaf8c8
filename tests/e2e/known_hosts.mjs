/** Loaded into the frontend's processes before anything else: finds the providers on loopback. */
import { syncBuiltinESMExports } from "node:module";
import tls from "node:tls";

const HOSTS = process.env.IDENTITY_HOSTS.split(",");
const connect = tls.connect;

// For fetch, this is the last step: the name stays the one that the certificate must have.
tls.connect = (options, ...rest) =>
  HOSTS.includes(options?.host)
    ? connect({ ...options, host: "127.0.0.1", port: Number(process.env.IDENTITY_PORT) }, ...rest)
    : connect(options, ...rest);
syncBuiltinESMExports();
