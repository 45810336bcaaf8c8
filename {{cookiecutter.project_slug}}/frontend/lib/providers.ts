import { env } from "./env";

/** The providers whose two settings are set, so that users can sign in with them. */
export const providers = (["google", "github"] as const).filter((provider) => env[provider]);
