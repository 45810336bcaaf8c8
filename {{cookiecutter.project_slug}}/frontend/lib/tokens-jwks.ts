import { jwt } from "better-auth/plugins/jwt";
import { env } from "./env";

/** API tokens, signed with EdDSA. The service fetches the public keys from /api/auth/jwks. */
export const tokens = jwt({
  disableSettingJwtHeader: true, // Otherwise, each request for the session would sign a token.
  jwt: {
    issuer: env.issuer,
    audience: env.audience,
    expirationTime: "5m", // Tokens cannot be revoked, so keep them short-lived.
    definePayload: () => ({}), // The service needs only `sub`, which is always added.
  },
});
