import { jwt } from "better-auth/plugins/jwt";
import { SignJWT } from "jose";
import { env } from "./env";

/** API tokens signed by HS256 with BETTER_AUTH_SECRET, which the service holds too. */
export const tokens = jwt({
  disableSettingJwtHeader: true, // Else each look at the session would sign a token.
  // With a `sign` of one's own the plugin insists on these two. They turn /api/auth/jwks into 404:
  // there are no public keys.
  jwks: { remoteUrl: "https://unused.invalid/jwks", keyPairConfig: { alg: "EdDSA" } },
  jwt: {
    issuer: env.issuer,
    audience: env.audience,
    expirationTime: "5m", // Signing out cannot take back a token: keep its life short.
    definePayload: () => ({}), // The service needs `sub` alone, which is added in any case.
    // The plugin has no option for HS256: without this it signs EdDSA.
    sign: (claims) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: "HS256", typ: "JWT" })
        .sign(new TextEncoder().encode(env.secret)),
  },
});
