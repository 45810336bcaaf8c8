import { jwt } from "better-auth/plugins/jwt";
import { env } from "./env";

/** API tokens signed by EdDSA; the service takes the public keys from /api/auth/jwks. */
export const tokens = jwt({
  disableSettingJwtHeader: true, // Else each look at the session would sign a token.
  jwt: {
    issuer: env.issuer,
    audience: env.audience,
    expirationTime: "5m", // Signing out cannot take back a token: keep its life short.
    definePayload: () => ({}), // The service needs `sub` alone, which is added in any case.
  },
});
