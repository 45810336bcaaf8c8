import { env } from "./env";

/** The providers that users can sign in with, because both their settings are set. */
export const providers = (["google", "github"] as const).filter((provider) => env[provider]);
