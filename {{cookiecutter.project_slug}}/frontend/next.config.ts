import type { NextConfig } from "next";

if (!process.env.NEXT_PUBLIC_API_URL) {
  throw new Error("NEXT_PUBLIC_API_URL must be set: it becomes part of the build");
}

const headers = [
  { key: "Cross-Origin-Opener-Policy", value: "same-origin" },
  { key: "Permissions-Policy", value: "camera=(), geolocation=(), microphone=(), payment=()" },
  { key: "Referrer-Policy", value: "same-origin" },
  { key: "X-Content-Type-Options", value: "nosniff" },
  { key: "X-Frame-Options", value: "DENY" },
];

const config: NextConfig = {
  agentRules: false,
  // The development server serves its scripts only to localhost and this host.
  allowedDevOrigins: [new URL(process.env.BETTER_AUTH_URL || "http://localhost:3000").hostname],
  // Only tests set NEXT_DIST_DIR, so that their build does not replace the one in `.next`. It skips
  // the type check to save time: `npm run typecheck` does it.
  distDir: process.env.NEXT_DIST_DIR || ".next",
  typescript: { ignoreBuildErrors: !!process.env.NEXT_DIST_DIR },
  headers: async () => [{ source: "/:path*", headers }],
  // Only the Dockerfile sets NEXT_OUTPUT, because `next start` cannot serve a standalone build.
  output: process.env.NEXT_OUTPUT === "standalone" ? "standalone" : undefined,
  poweredByHeader: false,
  turbopack: { root: __dirname },
};

export default config;
