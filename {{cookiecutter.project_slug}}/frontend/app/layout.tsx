import type { Metadata } from "next";
import { connection } from "next/server";
import type { ReactNode } from "react";
import { appName } from "@/lib/app-name";
import "./globals.css";

export const metadata: Metadata = { title: { default: appName, template: `%s · ${appName}` } };

export default async function Layout({ children }: { children: ReactNode }) {
  await connection(); // A page built in advance could not carry the nonce of proxy.ts.
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
