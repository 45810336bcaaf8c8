/** Preloaded into the frontend's processes: connects to the providers' names on loopback. */
import { syncBuiltinESMExports } from "node:module";
import tls from "node:tls";

const HOSTS = process.env.IDENTITY_HOSTS.split(",");
const connect = tls.connect;

// fetch connects here, and still checks the certificate against the original name.
tls.connect = (options, ...rest) =>
  HOSTS.includes(options?.host)
    ? connect({ ...options, host: "127.0.0.1", port: Number(process.env.IDENTITY_PORT) }, ...rest)
    : connect(options, ...rest);
syncBuiltinESMExports();
