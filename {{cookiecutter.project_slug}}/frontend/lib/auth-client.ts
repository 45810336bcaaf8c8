import { jwtClient } from "better-auth/client/plugins";
import { createAuthClient } from "better-auth/react";
import type { endSession } from "./end-session";

// `BetterAuthClientPlugin` for the endpoint that lib/end-session.ts adds.
const endSessionClient = { id: "end-session", $InferServerPlugin: {} as typeof endSession };

export const authClient = createAuthClient({ plugins: [jwtClient(), endSessionClient] });
