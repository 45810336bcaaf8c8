import { env } from "@/lib/env";

/**
 * Redirects browsers to BETTER_AUTH_URL, the only origin that Better Auth and the service accept.
 * Only the browser knows which address it opened: behind a proxy, `Host` may have another name.
 * The script is inline because Next's development server serves no scripts to other addresses.
 */
export function AddressCheck({ nonce }: { nonce?: string }) {
  return (
    <>
      <div id="other-address" className="card" role="alert" hidden>
        <h1>Wrong address</h1>
        <p>
          This site works only at <a href={env.issuer}>{env.issuer}</a>.
        </p>
        <p className="hint">
          To use it at the address that you opened, its administrator must change BETTER_AUTH_URL:
          see “The address of the site” in the frontend’s README.
        </p>
      </div>
      <script
        nonce={nonce}
        suppressHydrationWarning
        // biome-ignore lint/security/noDangerouslySetInnerHtml: no data from the request
        dangerouslySetInnerHTML={{ __html: `(${checkAddress})(${JSON.stringify(env.issuer)})` }}
      />
    </>
  );
}

/** Runs in the browser, from its source text, so it cannot use anything else in this file. */
function checkAddress(site: string) {
  if (location.origin === site) return;
  const isLoopback = (name: string) => /^(localhost|127\.[\d.]+|0\.0\.0\.0|\[::1?\])$/.test(name);
  // On another machine, localhost would be that machine: do not redirect.
  const isElsewhere = isLoopback(new URL(site).hostname) && !isLoopback(location.hostname);
  // Here again after a redirect: something else redirects back. Stop the loop.
  const key = "redirected-at";
  if (isElsewhere || Date.now() - Number(sessionStorage.getItem(key)) < 5_000) {
    document.getElementById("other-address")?.removeAttribute("hidden");
  } else {
    sessionStorage.setItem(key, `${Date.now()}`);
    location.replace(site + location.pathname + location.search + location.hash);
  }
}
