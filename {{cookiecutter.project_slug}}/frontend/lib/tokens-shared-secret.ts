import { jwt } from "better-auth/plugins/jwt";
import { SignJWT } from "jose";
import { env } from "./env";

/** API tokens, signed with HS256 and BETTER_AUTH_SECRET, which the service has, too. */
export const tokens = jwt({
  disableSettingJwtHeader: true, // Otherwise, each request for the session would sign a token.
  // The plugin requires these two options for a custom `sign`. They make /api/auth/jwks return 404,
  // because there are no public keys.
  jwks: { remoteUrl: "https://unused.invalid/jwks", keyPairConfig: { alg: "EdDSA" } },
  jwt: {
    issuer: env.issuer,
    audience: env.audience,
    expirationTime: "5m", // Tokens cannot be revoked, so keep them short-lived.
    definePayload: () => ({}), // The service needs only `sub`, which is always added.
    // The plugin has no option for HS256. Without this, it signs with EdDSA.
    sign: (claims) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: "HS256", typ: "JWT" })
        .sign(new TextEncoder().encode(env.secret)),
  },
});
