import type { Metadata } from "next";
import { headers } from "next/headers";
import type { ReactNode } from "react";
import { appName } from "@/lib/app-name";
import { AddressCheck } from "./address-check";
import "./globals.css";

export const metadata: Metadata = { title: { default: appName, template: `%s · ${appName}` } };

export default async function Layout({ children }: { children: ReactNode }) {
  // Reading headers makes Next render pages per request: static pages could not contain a nonce.
  const nonce = (await headers()).get("x-nonce") ?? undefined;
  return (
    <html lang="en">
      <body>
        <AddressCheck nonce={nonce} />
        {children}
      </body>
    </html>
  );
}
