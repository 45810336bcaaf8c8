import { jwtClient } from "better-auth/client/plugins";
import { createAuthClient } from "better-auth/react";
import type { endSession } from "./end-session";

// The client's types for the endpoint in lib/end-session.ts.
const endSessionClient = { id: "end-session", $InferServerPlugin: {} as typeof endSession };

export const authClient = createAuthClient({ plugins: [jwtClient(), endSessionClient] });
