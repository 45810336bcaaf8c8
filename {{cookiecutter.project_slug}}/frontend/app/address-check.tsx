import { env } from "@/lib/env";

/**
 * Leads browsers to BETTER_AUTH_URL, because Better Auth and the service accept no other origin.
 * Only the browser knows the address it has opened: behind a proxy, `Host` may be any other name.
 * A script in the page also runs where Next's development server refuses to serve its own.
 */
export function AddressCheck({ nonce }: { nonce?: string }) {
  return (
    <>
      <div id="other-address" className="card" role="alert" hidden>
        <h1>Another address</h1>
        <p>
          This site works only at <a href={env.issuer}>{env.issuer}</a>.
        </p>
        <p className="hint">
          If you run it: to use it at the address you have opened, set BETTER_AUTH_URL to that
          address, here and in the service.
        </p>
      </div>
      <script
        nonce={nonce}
        suppressHydrationWarning
        // biome-ignore lint/security/noDangerouslySetInnerHtml: it contains nothing of the request
        dangerouslySetInnerHTML={{ __html: `(${checkAddress})(${JSON.stringify(env.issuer)})` }}
      />
    </>
  );
}

/** Runs in the browser, without anything else of this file. */
function checkAddress(site: string) {
  if (location.origin === site) return;
  const isLoopback = (name: string) => /^(localhost|127\.[\d.]+|0\.0\.0\.0|\[::1?\])$/.test(name);
  // From another machine, localhost would be another site.
  const isElsewhere = isLoopback(new URL(site).hostname) && !isLoopback(location.hostname);
  // Redirected once, and here again: something redirects from there to here.
  const key = "redirected-to-its-address";
  if (isElsewhere || sessionStorage.getItem(key)) {
    document.getElementById("other-address")?.removeAttribute("hidden");
  } else {
    sessionStorage.setItem(key, "true");
    location.replace(site + location.pathname + location.search + location.hash);
  }
}
